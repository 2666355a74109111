"""Storyworld writes what it promises: shape, variety, speed, and the same text everywhere."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter

import pytest

from plottwist.corpora import storyworld as sw
from plottwist.corpora.storyworld.realise import frames
from plottwist.corpora.storyworld.world import words
from plottwist.errors import PlotTwistError
from plottwist.nqd import NQDS


@pytest.fixture(scope="module")
def many() -> list[str]:
    return [sw.simulate(seed).text for seed in range(20_000)]


def test_same_text_whatever_the_hash_seed():
    code = (
        "from plottwist.corpora import storyworld as s; print(s.simulate(5).text, s.simulate(6, paragraphs=9).text, s.simulate(7).premise)"
    )
    runs = {
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": h}, capture_output=True, text=True, check=True).stdout
        for h in ("0", "1", "77")
    }
    assert len(runs) == 1
    assert len(runs.pop()) > 1000


def test_simulation_does_not_import_the_reader():
    code = (
        "import sys; from plottwist.corpora import storyworld as s; s.simulate(1); s.simulate(1, paragraphs=5);"
        "print([m for m in sys.modules if m.startswith('plottwist.corpora.storyworld.') and m.rsplit('.')[-1] in ('reader', 'grammar')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_no_two_plots_are_alike(many):
    assert len(set(many)) == len(many)


def test_at_least_2000_word_types_occur(many):
    assert len({w for text in many[:3000] for w in re.findall(r"[a-z][a-z'-]*", text.lower())}) >= 2000


def test_plots_keep_their_length_and_sentences_theirs(many):
    for text in many[:3000]:
        assert 90 <= len(text.split()) <= 220
        assert "\n" not in text
        assert all(6 <= len(s.split()) <= 22 for s in text.rstrip(".").split(". "))


def test_english_surface(many):
    for text in many[:3000]:
        assert not re.search(r"\b(\w+) \1\b", text), text
        assert not re.search(r"\ba [aeio]", text), text
        assert not re.search(r"\ban [^aeiouh]", text), text
        assert not re.search(r"[{}%]|  | [,.]|\. [a-z]", text), text


def test_1000_plots_a_second():
    sw.simulate(0)
    start = time.process_time()
    for seed in range(1500):
        sw.simulate(seed)
    assert 1500 / (time.process_time() - start) >= 1000


def test_every_kind_has_several_phrasings_in_each_of_six_tones():
    assert len(sw.TONES) >= 6
    assert len(words().kinds) >= 40
    assert min(len({f.template for f in options}) for options in frames().values()) >= 2


def test_long_stories_have_the_paragraphs_asked_for():
    for n in (5, 6, 9, 14, 22, 35, 50):
        for seed in range(6):
            story = sw.simulate(seed, paragraphs=n)
            assert len(story.paragraphs) == n
            assert story.text == "\n\n".join(story.paragraphs)
            assert all(35 <= len(p.split()) <= 70 for p in story.paragraphs)
            assert [e.paragraph for e in story.plan.events if e.kind == "resolve"] == [n - 1]


def test_threads_open_early_close_late_and_their_words_come_back():
    story = sw.simulate(3, sw.Levels(), paragraphs=20)
    opened = {e.args["K"]: e.paragraph for e in story.plan.events if e.kind.endswith("_open")}
    closed = {e.args["K"]: e.paragraph for e in story.plan.events if e.kind.endswith("_close")}
    assert opened.keys() == closed.keys()
    assert len(opened) == 5
    assert max(opened.values()) < 8 <= 12 <= min(closed.values())
    mentions = Counter(k for k in opened for p in story.paragraphs if k in p.lower())
    assert min(mentions.values()) >= 2
    assert max(mentions.values()) >= 3


def test_plan_says_what_happens_and_why():
    story = sw.simulate(11, sw.Levels())
    plan = story.plan
    assert plan.characters[next(iter(plan.characters))]["part"] == "protagonist"
    assert {e.label for e in plan.events} == {"O", "Happen", "Conflict", "Solution"}
    assert [e.sentence for e in plan.events] == sorted(e.sentence for e in plan.events)
    assert plan.events[-1].sentence == len(story.text.rstrip(".").split(". ")) - 1
    assert all(c < i for i, e in enumerate(plan.events) for c in e.causes)
    causes = {(e.kind, plan.events[c].kind) for e in plan.events for c in e.causes}
    assert causes == {
        *(("fail", "meet"), ("mid", "depart"), ("mid", "inherit"), ("blow", "obstacle"), ("climax", "obstacle")),
        *(("climax", "crisis"), ("climax", "inherit"), ("resolve", "obstacle"), ("change", "meet")),
    }
    assert ("wants", next(iter(plan.characters)), plan.want) in plan.facts()


def test_wording_changes_words_and_nothing_else():
    one, other = sw.simulate(21), sw.simulate(21, wording=1)
    assert one.text != other.text
    assert one.plan.facts() == other.plan.facts()
    assert [(e.kind, e.tone, e.args) for e in one.plan.events] == [(e.kind, e.tone, e.args) for e in other.plan.events]


def test_levels_and_tone_are_kept():
    story = sw.simulate(2, sw.Levels(0.1, 0.2, 0.3, 0.4, 0.5), tone="epic")
    assert story.levels.as_dict() == dict(zip(NQDS, (0.1, 0.2, 0.3, 0.4, 0.5), strict=True))
    assert story.tone == "epic"
    assert story.id == "sw-2"


def test_tables_have_the_documented_columns():
    plots = sw.plots(5, seed=40)
    assert plots.column_names == ["id", "premise", "text", "tone", *(f"level_{n}" for n in NQDS)]
    assert plots[2]["text"] == sw.simulate(42).text
    assert plots[2]["tone"] == sw.simulate(42).tone
    assert plots[2]["level_tone"] == sw.simulate(42).levels.tone
    stories = sw.long_stories(3, (5, 7), seed=1)
    assert stories.column_names == ["id", "premise", "paragraphs", "tone", *(f"level_{n}" for n in NQDS)]
    assert all(5 <= len(p) <= 7 for p in stories["paragraphs"])


def test_premise_terms_cover_every_premise():
    terms = sw.premise_terms()
    for seed in range(300):
        for word in re.findall(r"[\w'-]+", sw.simulate(seed).premise.lower()):
            assert word in terms
    assert "spaceship" not in terms


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "negative"),
        ({"seed": 1, "tone": "noir"}, "no tone 'noir'"),
        ({"seed": 1, "paragraphs": 3}, "3 paragraphs"),
        ({"seed": 1, "paragraphs": 51}, "51 paragraphs"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments, message):
    with pytest.raises(PlotTwistError, match=message) as error:
        sw.simulate(**arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_levels_outside_0_1_are_refused(value):
    with pytest.raises(ValueError, match="tone"):
        sw.Levels(tone=value)
