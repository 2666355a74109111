from random import Random

import pytest

from plottwist.corpora import perturb
from plottwist.corpora.surface import sentences

STORY = " ".join(f"On day {i} the cook Anna Bell writes to her brother Bob Carr, because he cannot stay." for i in range(12))
STRANGER = ["Far away a dragon yawns."] * 3


def test_genders_swap_and_swap_back():
    text = "She sees him in the hall and gives her book to his mother, because the king loves her."
    once = perturb.swap_names_and_genders(text, Random(0))
    assert once == "He sees her in the hall and gives his book to her father, because the queen loves him."
    assert perturb.swap_names_and_genders(once, Random(0)) == text


def test_a_person_keeps_the_new_name_throughout():
    changed = perturb.swap_names_and_genders(STORY, Random(0))
    assert "Anna" not in changed and "Bob" not in changed
    assert len({s.split("cook ")[1].split(" writes")[0] for s in sentences(changed)}) == 1


def test_one_sentence_and_only_one_is_reworded():
    changed = sentences(perturb.reword_one_sentence(STORY, Random(0)))
    assert sum(a != b for a, b in zip(sentences(STORY), changed, strict=True)) == 1


def test_padding_adds_one_sentence_and_changes_no_other():
    assert sentences(perturb.pad(STORY, Random(0)))[:-1] == sentences(STORY)


def test_the_shipped_plots_keep_their_sentences_under_other_names_and_genders():
    from plottwist.corpora import shipped

    texts = shipped.plots()["plot"]
    kept = [len(sentences(perturb.swap_names_and_genders(t, Random(0)))) == len(sentences(t)) for t in texts]
    assert sum(kept) / len(kept) > 0.98


def test_a_weekday_is_nobodys_name():
    assert "on Friday" in perturb.swap_names_and_genders("He leaves on Friday with Ama Boateng.", Random(0))


@pytest.mark.parametrize("kind", perturb.DAMAGE)
def test_damage_and_control_have_equal_length_and_differ(kind):
    control, damaged = perturb.damage(kind, sentences(STORY), STRANGER, Random(1))
    assert control != damaged
    assert len(sentences(control)) == len(sentences(damaged))
