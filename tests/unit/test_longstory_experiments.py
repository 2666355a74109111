"""Story sets, the grid of variants, judges and the one rule for failed paragraphs; the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from random import Random

import datasets
import evaluate
import numpy as np
import pytest
import torch
from transformers import BartForConditionalGeneration, BertModel, GPT2Config, GPT2LMHeadModel
from typer.testing import CliRunner

from plottwist import cli, profiles, stats
from plottwist.errors import PlotTwistError
from plottwist.longstory import building, command, cost, data, experiments
from plottwist.longstory.generation import Decoding
from plottwist.longstory.training import paragraph_losses, validation_loss
from plottwist.metrics import judges, long_form
from plottwist.paths import ROOT

SMOKE = profiles.load("smoke")
HOW = experiments.decoding(SMOKE)


@cache
def sets():
    return data.load(SMOKE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small storyteller, saved."""
    place = tmp_path_factory.mktemp("teller")
    experiments.build(experiments.HEADLINE["LongStory"], SMOKE, 0).save(place)
    return place


def test_no_story_is_in_two_shares_and_judges_read_none_of_the_storytellers():
    for s in sets():
        shares = [set(s.stories[share]) for share in data.SHARES]
        assert all(shares) and len(set().union(*shares)) == sum(map(len, shares))


def test_the_mix_has_as_many_stories_of_each_set():
    told = data.total(sets(), "train")
    assert len(told) == 3 * SMOKE.longstory.train
    assert [len(t) >= 13 for t in told[:3]] == [False, False, True]


def test_paragraphs_hold_whole_sentences_up_to_the_limit():
    words = lambda text: text.count(" ") + 1  # noqa: E731
    assert data.pack(["One two three.", "Four five.", "Six."], 5, words) == ("One two three. Four five.", "Six.")
    assert data.pack(["one two three four five six seven"], 3, words) == ("one two three", "four five six", "seven")
    assert data.sentences('He came. "Who?" she asked!  Nobody.') == ["He came.", '"Who?"', "she asked!", "Nobody."]


def test_a_set_in_the_hubs_format_is_read_and_its_prompts_move_together(tmp_path, monkeypatch):
    rows = [{"prompt": f"prompt {i // 2}", "story": "It rained all day. " * 30 + f"End {i}."} for i in range(120)]
    datasets.DatasetDict(train=datasets.Dataset.from_list(rows)).save_to_disk(tmp_path / "disk")
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "set" / "train.parquet")
    monkeypatch.setattr(data, "HUB", {"writing prompts": str(tmp_path / "set")})
    found = data.load(SMOKE.model_copy(update={"data": ("shipped", "hub")}))
    place = {p[-1].split("End ")[1]: share for share, told in found[0].stories.items() for p in told}
    assert all(place.get(str(i), place.get(str(i + 1))) == place.get(str(i + 1), place.get(str(i))) for i in range(0, 120, 2))
    assert all(p.count(" ") < SMOKE.longstory.paragraph_words for told in found[0].stories.values() for s in told for p in s)
    monkeypatch.setattr(data, "HUB", {"nothing": str(tmp_path / "nowhere")})
    with pytest.raises(PlotTwistError, match="cannot load the data set"):
        data.load(SMOKE.model_copy(update={"data": ("hub",)}))


def test_every_variant_of_the_grid_is_built_and_differs_as_named():
    grid = experiments.grid("full", sets())
    assert set(experiments.grid("short", sets())) < set(grid)
    parts = {name: experiments.build(v, SMOKE, 0).limits for name, v in grid.items() if not v.trained_on}
    assert not parts["no memory"].memory and parts["no cheating"].cheating == 0 and not parts["no order tokens"].discourse
    assert parts["memory fixed at 0.3"].constant_weights() == pytest.approx((0.5, 0.3, 0.2))
    assert parts["c = 3"].cheating == 3 and parts["learnable alpha"].weighting == "learnable alpha"
    assert {type(experiments.build(v, SMOKE, 0)).__name__ for v in experiments.HEADLINE.values()} == {
        "LongStory",
        "PlotMachines",
        "PlainDecoder",
        "PlainEncoderDecoder",
    }


def test_training_a_variant_lowers_its_validation_loss_and_a_finished_run_is_not_made_again(tmp_path):
    variant = replace(experiments.HEADLINE["LongStory"], trained_on="short")
    longer = SMOKE.model_copy(
        update={"longstory": SMOKE.longstory.model_copy(update={"steps": 12, "evaluate_every": 6, "learning_rate": 5e-3})}
    )
    model, history = experiments.fit(variant, longer, 0, tmp_path)
    stories = experiments.stories_of(model, data.total([sets()[0]], "validation"))
    assert validation_loss(model, stories, 4) < validation_loss(experiments.build(variant, longer, 0), stories, 4) - 0.5
    assert experiments.fit(variant, longer, 0, tmp_path)[1] == history


def test_pretrained_weights_of_every_kind_are_taken_over(tmp_path):
    small = experiments.build(experiments.HEADLINE["LongStory"], SMOKE, 0)
    tokens = experiments.tokenizer(SMOKE)
    bart, bert, gpt2 = tmp_path / "bart", tmp_path / "bert", tmp_path / "gpt2"
    plain = {k: v for k, v in small.config.to_dict().items() if k not in ("parts", "bert", "architectures", "model_type")}
    BartForConditionalGeneration(BartForConditionalGeneration.config_class(**plain)).save_pretrained(bart)
    BertModel(small.calibrator.bert.config, add_pooling_layer=False).save_pretrained(bert)
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tokens), n_embd=32, n_layer=1, n_head=2, n_positions=256)).save_pretrained(gpt2)
    for place in (bart, bert, gpt2):
        tokens.save(place)
    named = {"backbone": str(bart), "calibrator_backbone": str(bert), "decoder_backbone": str(gpt2)}
    paper = SMOKE.model_copy(update={"longstory": SMOKE.longstory.model_copy(update=named)})
    for name, variant in experiments.HEADLINE.items():
        model = experiments.build(variant, paper, 0)
        source = (
            BartForConditionalGeneration.from_pretrained(bart) if model.config.is_encoder_decoder else GPT2LMHeadModel.from_pretrained(gpt2)
        )
        assert torch.equal(model.get_input_embeddings().weight, source.get_input_embeddings().weight), name
        written = experiments.write_stories(model, [(("a storm",), 2)], 0, Decoding())
        assert len(written[0].paragraphs) == 2


def test_stories_side_by_side_are_those_written_in_other_company(folder):
    model = building.load(folder)
    asked = [(("a storm",), 3), (("a fox", "winter"), 2), (("a well",), 2)]
    together = experiments.write_stories(model, asked, 3, HOW)
    assert experiments.write_stories(model, asked, 3, HOW, batch_size=2) == together
    assert [len(w.paragraphs) for w in together] == [3, 2, 2]


@pytest.fixture(scope="module")
def judge_folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("judges")
    long_form.make_judges(data.total(sets(), "judges")[:45], 8, 0, place)
    return place


def test_judges_tell_true_paragraphs_from_wrong_ones_and_order_from_soup(judge_folder):
    told = data.total(sets(), "test")
    as_told = [long_form.Told(s, (True,) * len(s), ("a",), s) for s in told]
    soup = [replace(t, paragraphs=tuple(judges.shuffled(p, Random(0)) for p in t.paragraphs)) for t in as_told]
    true, mixed = long_form.scores(as_told, judge_folder), long_form.scores(soup, judge_folder)
    assert true.coherence.mean() > mixed.coherence.mean() + 0.15
    assert true.completeness_gap.mean() > mixed.completeness_gap.mean() + 0.15
    found = long_form.held_out(judge_folder, data.total(sets(), "validation"), 0).set_index(["judge", "paragraphs"]).accuracy
    assert found["completeness", "balanced"] > 0.8 and found["coherence", "another story"] > 0.6


def test_a_failed_paragraph_is_the_worst_in_every_metric(judge_folder):
    told = data.total(sets(), "test")[0]
    whole = long_form.Told(told, (True,) * len(told), ("a",), told)
    cut = replace(whole, ended=(*whole.ended[:-1], False))
    echo = replace(whole, paragraphs=(*told[:-1], told[0].upper()))
    empty = replace(whole, paragraphs=(*told[:-1], " "))
    nothing = replace(whole, paragraphs=("",) * len(told))
    rows = long_form.scores([whole, cut, echo, empty, nothing], judge_folder)
    for other in (1, 2, 3):
        assert rows.failed[other] == pytest.approx(1 / len(told))
        assert rows.completeness[other] == 0 < rows.completeness[0]
        assert rows.coherence[other] < rows.coherence[0] and rows.in_self_bleu_4[other] > rows.in_self_bleu_4[0]
    assert (rows.coherence[4], rows.completeness[4], rows.rouge_l[4], rows.in_self_bleu_4[4]) == (0, 0, 0, 1)
    assert rows.completeness_gap[4] == -1


def test_a_judge_is_the_same_twice_and_again_from_its_file(judge_folder, tmp_path):
    long_form.make_judges(data.total(sets(), "judges")[:45], 8, 0, tmp_path)
    pair = [tuple(data.total(sets(), "test")[0][:2])]
    one, two = (judges.Judge.load(long_form.judge_path(f, "coherence")).probabilities(pair) for f in (judge_folder, tmp_path))
    assert np.array_equal(one, two)
    (tmp_path / "coherence.safetensors").write_text("no")
    with pytest.raises(PlotTwistError, match="not a judge"):
        judges.Judge.load(tmp_path / "coherence.safetensors")


def test_the_examples_of_a_judge_are_what_they_are_called():
    told = data.total(sets(), "test")
    for e in judges.examples("coherence", told, Random(0)):
        home = next(s for s in told if e.before in s)
        following = home[home.index(e.before) + 1]
        assert e.right == (e.text == following)
        assert (e.why == "another story") == (e.text not in home and sorted(e.text.split()) != sorted(following.split()))
    last = [e for e in judges.examples("completeness", told, Random(0)) if e.right]
    assert [e.text for e in last] == [s[-1] for s in told]
    with pytest.raises(PlotTwistError, match="two stories"):
        judges.examples("coherence", told[:1], Random(0))


def test_a_late_paragraph_takes_no_more_memory_than_an_early_one():
    told = data.total(sets(), "test")[0]
    roomy = SMOKE.model_copy(update={"longstory": SMOKE.longstory.model_copy(update={"paragraph_tokens": 80})})  # the rival rereads it all
    costs = cost.measure(experiments.for_cost(roomy, 30), [told[1]] * 30, ("a fox",), (5, 30), 1)
    found = {(c.model, c.paragraph): c.peak_bytes for c in costs}
    assert found["LongStory", 30] <= 1.1 * found["LongStory", 5]
    assert found["rereading", 30] > 2 * found["rereading", 5]


def test_a_story_stopped_after_two_paragraphs_goes_on_as_if_it_had_not(folder, tmp_path):
    whole = list(command.stream(folder, "a fox, winter", None, 5, HOW, seed=4))
    stopped = command.stream(folder, "a fox, winter", None, 5, HOW, seed=4, state=tmp_path / "story.json")
    first = [next(stopped), next(stopped)]
    rest = list(command.stream(folder, None, None, 5, HOW, state=tmp_path / "story.json"))
    assert len(whole) == 5 and first + rest == whole
    with pytest.raises(PlotTwistError, match="has all its 5 paragraphs"):
        list(command.stream(folder, None, None, 5, HOW, state=tmp_path / "story.json"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "say what the story is about"),
        (["--keywords", "a", "--premise", "b"], "say what the story is about"),
        (["--keywords", " , "], "no keywords"),
        (["--keywords", "storm", "--paragraphs", "0"], "1 to 1000"),
        (["--keywords", "storm", "--paragraphs", "10000"], "1 to 1000"),
        (["--keywords", "storm, " * 200], "fewer or shorter"),
        (["--premise", "the of and"], "no key phrase"),
        (["--keywords", "storm", "--model", "/nowhere"], "nowhere"),
    ],
)
def test_bad_input_on_the_command_line_is_one_line(folder, options, message):
    model = [] if "--model" in options else ["--model", str(folder)]
    result = CliRunner().invoke(cli.app, ["longstory", *options, *model])
    assert isinstance(result.exception, PlotTwistError)
    assert message in str(result.exception) and "\n" not in str(result.exception)


@pytest.mark.parametrize("name", ["coherence", "completeness"])
def test_the_judged_metrics_load_by_path_say_what_they_return_and_refuse_bad_input_in_one_line(name, judge_folder):
    module, judge = evaluate.load(str(ROOT / "plottwist" / "metrics" / name)), str(long_form.judge_path(judge_folder, name))
    found = module.compute(predictions=[["A fox ran.", "It slept.", "It woke."]], judge=judge)
    assert found and all(key in module.inputs_description for key in found)
    for story, of in (([], judge), ([["One."]], judge), ([["One.", "Two."]], str(judge_folder / "none"))):
        with pytest.raises(PlotTwistError) as error:
            module.compute(predictions=story, judge=of)
        assert "\n" not in str(error.value)


def test_the_command_writes_and_refuses_a_state_of_another_story(folder, tmp_path):
    state = tmp_path / "s.json"
    told = ["longstory", "--premise", "A fox crosses the frozen river.", "--paragraphs", "2", "--model", str(folder), "--state", str(state)]
    result = CliRunner().invoke(cli.app, told)
    assert result.exit_code == 0 and len(result.stdout.splitlines()) >= 3
    assert json.loads(state.read_text())["position"] == 2
    for other in (["--keywords", "a bear"], ["--premise", "A bear sleeps in the old mill."], ["--paragraphs", "3"], ["--seed", "9"]):
        result = CliRunner().invoke(cli.app, ["longstory", *other, "--model", str(folder), "--state", str(state)])
        assert f"holds a story with {'keywords' if other[1][0] in 'aA' else other[0][2:]}" in str(result.exception)
    assert "has all its 2" in str(CliRunner().invoke(cli.app, told).exception), "what it was asked for is no other"


def test_an_interval_over_seeds_and_stories_is_wider_where_seeds_disagree():
    rng = np.random.default_rng(0)
    values, seeds, stories = rng.normal(size=90), np.repeat([0, 1, 2], 30), np.tile(range(30), 3)
    alike = stats.hierarchical(np.mean, values, outer=seeds, inner=stories)
    apart = stats.hierarchical(np.mean, values + 5 * seeds, outer=seeds, inner=stories)
    assert alike.n == 90 and apart.high - apart.low > 5 * (alike.high - alike.low)
    one = stats.hierarchical(np.mean, values[:30], outer=seeds[:30], inner=stories[:30])
    assert (one.high - one.low) == pytest.approx(2 * 1.96 * values[:30].std() / 30**0.5, rel=0.15)


def test_weights_can_be_set_and_what_the_past_is_worth_is_counted_by_thirds():
    fixed = experiments.build(experiments.FURTHER["memory fixed at 0.2"], SMOKE, 0)
    stories = experiments.stories_of(fixed, data.total(sets(), "test"))[:3]
    own, same, other = (
        experiments.losses_by_third(m, stories)
        for m in (fixed, experiments.at_weights(fixed, 0.5, 0.2, 0.3), experiments.at_weights(fixed, 0.5, 0.5, 0.0))
    )
    assert np.allclose(own.nll, same.nll) and not np.allclose(own.nll, other.nll)
    assert np.allclose(experiments.losses_by_third(fixed, stories).nll, own.nll)  # the model itself keeps its weights
    paragraphs = [pair for story in paragraph_losses(fixed, stories, 16) for pair in story[1:]]
    assert own.nll.sum() == pytest.approx(sum(nll for nll, _ in paragraphs)) and own.tokens.sum() == sum(n for _, n in paragraphs)
    calibrated = experiments.build(experiments.HEADLINE["LongStory"], SMOKE, 0)
    assert experiments.calibrator_spread(calibrated, stories) > 0.05
    with torch.no_grad():
        for weight in calibrated.calibrator.bert.parameters():
            weight.zero_()
        calibrated.calibrator.bert.encoder.layer[-1].output.LayerNorm.bias.fill_(1.0)
    assert experiments.calibrator_spread(calibrated, stories) == 0
    assert [experiments.part_of(t, 6).split()[0] for t in range(6)] == ["first", "first", "middle", "middle", "last", "last"]
