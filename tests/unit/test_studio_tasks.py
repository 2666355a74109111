"""The three jobs on Storyworld: ground truth that comes from the plan, and int8 weights."""

from __future__ import annotations

import pytest
import torch

from plottwist.corpora import storyworld as sw
from plottwist.corpora.split import premise_key, split
from plottwist.corpora.storyworld import reader
from plottwist.generator import quantise
from plottwist.studio import diff, tasks

LOW = sw.Levels(0.1, 0.1, 0.1, 0.1, 0.1)


@pytest.mark.parametrize("seed", range(12))
def test_every_fact_can_be_noted_and_read_and_is_borne_out(seed):
    story = sw.simulate(seed)
    stated = tasks.facts(story)
    assert stated and all(tasks.read_note(tasks.note(fact)) == fact for fact in stated)
    assert all(tasks.borne_out(fact, story.text) for fact in stated)
    assert not tasks.borne_out(("wants", "Zuleika", stated[1][2]), story.text)


@pytest.mark.parametrize("line", ["", "Anna flew over the moon", "Q Anna: a cook", "R F: Q", "I Anna: cook", "W Anna"])
def test_what_is_no_note_is_none(line):
    assert tasks.read_note(line) is None


def test_facts_are_those_of_the_plan():
    story = sw.simulate(3, sw.Levels())
    meant = {tasks.meant(fact, story) for fact in tasks.facts(story)}
    hero = next(name for name, about in story.plan.characters.items() if about["part"] == "protagonist")
    assert ("wants", hero, f"want:{story.plan.want}") in meant
    assert ("becomes", hero, f"change:{story.plan.flaw}") in meant  # a full telling answers its flaw
    assert ("rests on", "last fight", "choice") in meant


def test_a_flat_plan_rests_on_less():
    def resting(levels):
        return sum(fact[0] == "rests on" for seed in range(20) for fact in tasks.facts(sw.simulate(seed, levels)))

    assert resting(LOW) < resting(sw.Levels())


@pytest.mark.parametrize("seed", range(6))
def test_a_repair_is_strong_and_keeps_what_was_right(seed):
    draft = sw.simulate(seed, sw.Levels(0.6, 0.8, 0.7, 0.6, 0.7))
    full = sw.simulate(seed, sw.Levels(), tone=draft.tone)
    repaired = tasks.repair(draft, full)
    found = reader.read(repaired, draft.premise)
    assert found.understood > 0.9
    assert found.scores.overall > max(8.5, reader.read(draft.text, draft.premise).scores.overall)
    assert diff.share_rewritten(draft.text, repaired) <= diff.share_rewritten(draft.text, full.text) + 0.02


def test_nothing_is_repaired_where_all_is_right():
    full = sw.simulate(5, sw.Levels())
    assert tasks.repair(full, full) == full.text


def test_a_better_draft_is_changed_less():
    def share(quality):
        levels = sw.Levels(*[quality] * 5)
        drafts = [sw.simulate(seed, levels) for seed in range(30)]
        return sum(diff.share_rewritten(d.text, tasks.repair(d, sw.simulate(d.seed, sw.Levels(), tone=d.tone))) for d in drafts)

    assert share(0.9) < share(0.5) < share(0.1)


def test_examples_keep_to_their_part_of_the_split_and_come_again():
    rows = list(tasks.examples(("refine", "explain", "generate"), 9, 0, "validation"))
    assert rows == list(tasks.examples(("refine", "explain", "generate"), 9, 0, "validation"))
    assert [row["job"] for row in rows] == ["refine", "explain", "generate"] * 3
    assert all(split(premise_key(row["prompt"])) == "validation" for row in rows if row["job"] == "generate")


def test_int8_is_a_quarter_of_the_size_and_nearly_the_same():
    weights = {"a": torch.randn(8, 64), "experts": torch.randn(4, 32, 64), "norm": torch.randn(64), "b": torch.randn(3, 2)}
    small = quantise.to_int8(weights)
    back = quantise.to_float(small)
    assert back.keys() == weights.keys()
    assert torch.equal(back["norm"], weights["norm"]) and torch.equal(back["b"], weights["b"])
    for name in ("a", "experts"):
        step = weights[name].abs().amax(-1, keepdim=True) / 127
        assert bool(((back[name] - weights[name]).abs() <= step / 2 + 1e-6).all())
    assert sum(t.nbytes for t in small.values()) < 0.35 * sum(t.nbytes for t in weights.values())
