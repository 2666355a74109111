"""Recursive writing: seeded, resumable, at a fixed cost; and what it refuses."""

from __future__ import annotations

import json
import time

import pytest
import torch
from test_longstory_model import LIMITS, SIZE, every_kind, long_story, name, tokenizer

from plottwist.errors import PlotTwistError
from plottwist.longstory import building
from plottwist.longstory.contexts import Parts
from plottwist.longstory.generation import Decoding, SeededSampling, Telling, begin, tell, tell_many
from plottwist.longstory.storyteller import Step


def texts(tellings):
    return [t.last.text for t in tellings]


@pytest.mark.parametrize("storyteller", every_kind(), ids=name)
def test_a_resumed_story_is_the_same_story(storyteller, tmp_path):
    whole = list(tell(storyteller, begin(storyteller, ["a storm", "brother"], 5, seed=3)))
    storyteller.save(tmp_path / "model")
    again = building.load(tmp_path / "model")
    for stop in (1, 3, 4):
        whole[stop - 1].save(tmp_path / "state.json")
        rest = list(tell(again, Telling.load(tmp_path / "state.json")))
        assert rest == whole[stop:]


@pytest.mark.parametrize("storyteller", every_kind(), ids=name)
def test_a_story_does_not_depend_on_what_is_written_beside_it(storyteller):
    started = [begin(storyteller, keywords, n, seed) for keywords, n, seed in ((["storm"], 4, 1), (["a wide grey sea", "cat"], 2, 2))]
    together = {1: [], 2: []}
    for written in tell_many(storyteller, started):
        for telling in written:
            together[telling.seed].append(telling.last.text)
    assert together == {t.seed: texts(tell(storyteller, t)) for t in started}


def test_the_seed_alone_decides():
    ours = long_story()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = texts(tell(ours, begin(ours, ["storm"], 3, seed=1)))
    assert torch.equal(torch.get_rng_state(), state)
    assert first == texts(tell(ours, begin(ours, ["storm"], 3, seed=1)))
    assert first != texts(tell(ours, begin(ours, ["storm"], 3, seed=2)))


def test_every_paragraph_reports_length_ending_and_weights():
    ours = long_story()
    for position, telling in enumerate(tell(ours, begin(ours, ["storm"], 4)), start=1):
        assert telling.position == position and telling.done == (position == 4)
        assert 0 <= telling.last.tokens <= ours.limits.paragraph_tokens
        assert telling.last.ended or telling.last.tokens == ours.limits.paragraph_tokens
        assert sum(telling.last.weights) == pytest.approx(1)
        assert len(telling.earlier) <= ours.reads


def test_streaming_writes_no_further_than_asked():
    ours = long_story()
    telling = next(tell(ours, begin(ours, ["storm"], 1000)))
    assert telling.position == 1


def test_sampling_draws_from_the_filtered_distribution():
    torch.manual_seed(0)
    scores = torch.randn(1, 12) * 2
    rows = 20000
    sampling = SeededSampling(Decoding(top_k=6, top_p=0.9, repetition_penalty=1.0), [(7, i) for i in range(rows)], prompt=0)
    drawn = sampling(torch.empty(rows, 0, dtype=torch.long), scores.expand(rows, -1)).argmax(1)
    kept = scores[0].softmax(0).sort(descending=True)
    nucleus = [i for i, before in zip(kept.indices.tolist(), (kept.values.cumsum(0) - kept.values).tolist(), strict=True) if before < 0.9][
        :6
    ]
    expected = torch.zeros(12)
    expected[nucleus] = scores[0, nucleus].softmax(0)
    found = torch.bincount(drawn, minlength=12) / rows
    assert set(drawn.tolist()) <= set(nucleus)
    torch.testing.assert_close(found, expected, atol=0.015, rtol=0)


def test_no_three_tokens_twice_and_the_decoder_start_is_not_penalised():
    sampling = SeededSampling(Decoding(top_k=50, top_p=1.0, repetition_penalty=2.0), [(0, 0)], prompt=1)
    scores = torch.full((1, 8), 1.0)
    processed = [apply(torch.tensor([[4, 5, 6, 4, 5]]), scores.clone()) for apply in sampling.filters[:2]]
    assert processed[0][0].tolist() == [1, 1, 1, 1, 0.5, 0.5, 0.5, 1]
    assert processed[1][0, 6] == -torch.inf and torch.isfinite(processed[1][0, [0, 1, 2, 3, 4, 5, 7]]).all()
    start = sampling(torch.tensor([[2]]), scores)  # 2 is BART's start and its end: ending at once must stay as likely as anything
    fresh = SeededSampling(Decoding(top_k=50, top_p=1.0, repetition_penalty=2.0), [(0, 0)], prompt=0)(
        torch.empty(1, 0, dtype=torch.long), scores
    )
    torch.testing.assert_close(start, fresh)


def test_a_long_story_costs_the_same_everywhere(tmp_path):
    """The state and the encoder's inputs do not grow; a rereading model's do; the time follows."""
    ours, rereads = long_story(paragraph_tokens=24), every_kind()[2]
    sizes = []
    for telling in tell(ours, begin(ours, ["storm"], 50, seed=1)):
        telling.save(tmp_path / "state.json")
        sizes.append((tmp_path / "state.json").stat().st_size)
    assert max(sizes[40:]) < 1.3 * max(sizes[:10])
    spent = {5: [], 50: []}
    for _ in range(15):
        for position, seconds in spent.items():
            steps = [Step.at(("storm",), position - 1, 50, ("He said a word. " * 8,) * min(position - 1, ours.reads))] * 8
            start = time.process_time()  # of this process alone: the machine may be busy
            with torch.inference_mode():
                encoded = ours.condition(steps, ours.first_memory([("storm",)] * 8)).inputs["encoder_outputs"]
            seconds.append(time.process_time() - start)
            assert encoded.last_hidden_state.shape[1] <= ours.limits.source_tokens + 5
    assert min(spent[50]) < 1.5 * min(spent[5])
    lengths = [
        rereads.prompts([Step.at(("storm",), p - 1, 50, ("He said a word.",) * (p - 1))], left=False)[0].shape[1] for p in (1, 5, 50)
    ]
    assert lengths[0] < lengths[1] < lengths[2] <= rereads.parts.history_tokens + rereads.limits.source_tokens + 6


@pytest.mark.parametrize("paragraphs", [0, -1, 10_000])
def test_a_number_of_paragraphs_that_cannot_be(paragraphs):
    with pytest.raises(PlotTwistError, match=rf"cannot write {paragraphs} paragraphs; ask for 1 to 1000"):
        begin(long_story(), ["storm"], paragraphs)


@pytest.mark.parametrize("keywords", [[], [""], ["storm", " "], ["?!"]], ids=str)
def test_no_keywords(keywords):
    with pytest.raises(PlotTwistError, match="no keywords"):
        begin(long_story(), keywords, 3)


@pytest.mark.parametrize("storyteller", every_kind(), ids=name)
def test_keywords_longer_than_the_context(storyteller):
    with pytest.raises(PlotTwistError, match=r"take \d+ tokens but the model reads 20; give fewer"):
        begin(storyteller, ["lighthouse keeper"] * 50, 3)


@pytest.mark.parametrize("storyteller", every_kind(), ids=name)
def test_an_unknown_order_token(storyteller):
    with pytest.raises(PlotTwistError, match="unknown order token '<finale>'; known: <intro>"):
        storyteller.condition([Step(("storm",), ("<body>", "<finale>"))], storyteller.first_memory([("storm",)]))


def test_a_story_begun_by_another_model():
    other = building.long_story(tokenizer(), Parts(**LIMITS), SIZE.model_copy(update={"width": 16}), 0)
    with pytest.raises(PlotTwistError, match="begun by another model"):
        next(tell(other, begin(long_story(), ["storm"], 3)))


@pytest.mark.parametrize("damage", [lambda s: s[:-40], lambda s: "[]", lambda s: json.dumps({**json.loads(s), "memory": "lost"})])
def test_a_damaged_state(damage, tmp_path):
    path = tmp_path / "state.json"
    begin(long_story(), ["storm"], 3).save(path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(PlotTwistError, match=r"state\.json") as error:
        Telling.load(path)
    assert "\n" not in str(error.value)
