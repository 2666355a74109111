"""The arithmetic of cost: by hand on a case that one can do in the head, and on every shipped profile."""

import pytest

from plottwist import cost, profiles
from plottwist.errors import PlotTwistError


def test_a_stage_counts_what_kaplan_counts():
    full = cost.Stage("02", "x", total=8.0, active=2.0, learned=100, read=10, written=5)
    assert full.flops == (6 * 2 * 100 + 2 * 2 * 10, 2 * 2 * 5)
    assert full.memory == 2 * 8 + 16 * 8
    adapted = cost.Stage("02", "x", total=8.0, active=2.0, lora=True, learned=100)
    assert adapted.flops[0] == 4 * 2 * 100 and adapted.memory < full.memory
    assert cost.Stage("02", "x", total=8.0, active=2.0, written=1).memory == 16


def test_hours_fall_with_the_peak_and_rise_with_the_work():
    settings = profiles.load("cpu")
    slow, fast = cost.table(settings, 1e12), cost.table(settings, 2e12)
    assert (slow["GPU-hours"] / fast["GPU-hours"]).to_list() == pytest.approx([2.0] * len(slow))
    assert cost.table(profiles.load("paper"))["GPU-hours"].sum() > 1000 * cost.table(settings)["GPU-hours"].sum()


@pytest.mark.parametrize("name", profiles.names())
def test_every_shipped_profile_has_a_cost(name):
    table = cost.table(profiles.load(name))
    assert {"02", "04", "06"} <= set(table.notebook) and (table.FLOPs > 0).all()


def test_the_small_writer_is_counted_as_it_is_built():
    from plottwist.generator import model, tokens

    settings = profiles.load("smoke").generator
    text = " ".join(f"{a}{b}{c}" for a in "abcdefghij" for b in "klmnopqrst" for c in "uvwxyz")
    built = model.build(settings, tokenizer := tokens.train_tokenizer([text], settings.vocabulary), seed=0)
    active, total = model.parameter_counts(built)
    stage = next(s for s in cost._generator(profiles.load("smoke")) if s.stage == "DPO")
    assert stage.total - total == pytest.approx(settings.width * (settings.vocabulary - len(tokenizer)))
    assert stage.total - stage.active == total - active


def test_an_unknown_model_is_refused():
    settings = profiles.load("paper")
    other = settings.model_copy(update={"generator": settings.generator.model_copy(update={"base": "nobody/nothing"})})
    with pytest.raises(PlotTwistError, match="nobody/nothing"):
        cost.table(other)
