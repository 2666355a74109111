"""Teacher forcing over stories: it learns, it is deterministic, and a killed run goes on as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_longstory_model import LIMITS, SIZE, every_kind, fresh, long_story, name, stories, tokenizer

from plottwist.errors import PlotTwistError
from plottwist.longstory import building, training
from plottwist.longstory.building import Size
from plottwist.longstory.contexts import Parts
from plottwist.longstory.generation import Decoding, begin, tell_many
from plottwist.longstory.training import History, Story, TrainingConfig, paragraph_losses, train, validation_loss

DROPS = SIZE.model_copy(update={"dropout": 0.1})  # so that the state of the random generator matters
RUN = TrainingConfig(steps=40, batch_size=3, warmup=5, evaluate_every=10, patience=50)
SHORT = [
    Story(("storm", "lighthouse"), ("Ana kept the lighthouse.", "A storm broke the lamp.", "She lit a fire, and the ships came home.")),
    Story(("well", "coin"), ("Bo dropped a coin into the well.", "The well gave back two.", "He shared them and was content.")),
    Story(("fox", "winter"), ("The fox was cold.", "Snow covered the wood.", "Spring came, and the fox ran.")),
]


def data(model):
    told = [Story.of(s, model) for s in stories()]
    return told[:6], told[6:]


def fit(folder, seed=0, config=RUN, size=DROPS):
    model = building.long_story(tokenizer(), Parts(**LIMITS), size, 0)
    return model, train(model, *data(model), config, seed, folder)


@pytest.mark.parametrize("storyteller", fresh(Size(**{**SIZE.model_dump(), "width": 64})), ids=name)
def test_three_short_stories_are_learnt_by_heart_and_written_back(storyteller, tmp_path):
    config = TrainingConfig(steps=120, batch_size=3, learning_rate=4e-3, warmup=20, evaluate_every=60)
    history = train(storyteller, SHORT, SHORT, config, 0, tmp_path)
    assert history.best[1] < 0.1 < 3 < history.train[0]
    plainly = Decoding(top_k=1, no_repeat=64, repetition_penalty=1.0)
    written = {s.keywords: [] for s in SHORT}
    for tellings in tell_many(storyteller, [begin(storyteller, s.keywords, 3) for s in SHORT], plainly):
        for telling in tellings:
            assert telling.last.ended
            written[telling.keywords].append(telling.last.text)
    assert {k: tuple(v) for k, v in written.items()} == {s.keywords: s.paragraphs for s in SHORT}


def test_the_same_seed_gives_the_same_curve(tmp_path):
    config = RUN.model_copy(update={"steps": 12})
    first, again, other = (fit(tmp_path / n, seed, config)[1] for n, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert first == again
    assert first.train[1:] != other.train[1:]


_SCRIPT = """
import torch; torch.set_num_threads(1)
from pathlib import Path
import test_longstory_training as t
t.fit(Path({folder!r}))
"""


def test_a_killed_run_continues_the_same_curve(tmp_path):
    torch.set_num_threads(1)
    model, whole = fit(tmp_path / "whole")
    folder = tmp_path / "killed"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    process = subprocess.Popen([sys.executable, "-c", _SCRIPT.format(folder=str(folder))], env={**os.environ, "PYTHONPATH": path})
    while not (folder / "checkpoint.safetensors").exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (folder / ".checkpoint.safetensors.tmp").write_bytes(b"half of the next one")
    resumed, history = fit(folder)
    assert history == whole
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), resumed.parameters(), strict=True))


def test_a_finished_run_is_not_trained_again(tmp_path):
    config = RUN.model_copy(update={"steps": 10})
    model, history = fit(tmp_path, config=config)
    stamp = (tmp_path / "checkpoint.safetensors").stat().st_mtime_ns
    again, same = fit(tmp_path, config=config)
    assert same == history and (tmp_path / "checkpoint.safetensors").stat().st_mtime_ns == stamp
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_what_another_run_left_is_not_used(tmp_path):
    config = RUN.model_copy(update={"steps": 10})
    fit(tmp_path / "shared", config=config)
    model, history = fit(tmp_path / "shared", seed=1, config=config)
    fresh_model, expected = fit(tmp_path / "other", seed=1, config=config)
    assert history == expected
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), fresh_model.parameters(), strict=True))


def test_a_broken_checkpoint_is_named(tmp_path):
    config = RUN.model_copy(update={"steps": 10})
    (tmp_path / "checkpoint.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(PlotTwistError, match="not a checkpoint"):
        fit(tmp_path, config=config)


def test_the_best_validation_wins_and_ends_the_run(tmp_path):
    """At such a learning rate three stories are soon learnt too well to help with others."""
    model = fresh()[0]
    others = [replace(s, paragraphs=s.paragraphs[::-1]) for s in data(model)[1]]
    config = TrainingConfig(steps=400, batch_size=3, learning_rate=1e-2, warmup=5, evaluate_every=10, patience=2)
    history = train(model, SHORT, others, config, 0, tmp_path)
    assert len(history.train) < 400
    assert history.best[1] < history.validation[-1][1]
    assert [v for v in history.validation if v[0] > history.best[0]] == history.validation[-2:]
    assert validation_loss(model, others, 3) == pytest.approx(history.best[1], abs=1e-6)


def test_patience_counts_validations_after_the_best():
    history = History(validation=[(1, 3.0), (2, 2.0), (3, 2.0), (4, 2.5)])
    assert history.best == (2, 2.0)
    assert history.exhausted(2) and not history.exhausted(3)
    assert not History().exhausted(1)


@pytest.mark.parametrize("storyteller", every_kind(), ids=name)
def test_losses_do_not_depend_on_the_batch(storyteller):
    told = [Story.of(s, storyteller) for s in stories()[:4]]
    together = paragraph_losses(storyteller, told, 4)
    for story, losses in zip(told, together, strict=True):
        assert len(losses) == len(story.paragraphs)
        for (a, n), (b, m) in zip(losses, paragraph_losses(storyteller, [story], 1)[0], strict=True):
            assert (a, n) == (pytest.approx(b, rel=1e-5), m)


def test_the_memory_of_a_row_is_that_of_its_own_story(tmp_path):
    """After any number of steps, each row holds the memory that reading its story from the start gives (no update of weights)."""
    model = long_story()
    told, _ = data(model)
    run = training._Run(model, told, RUN.model_copy(update={"learning_rate": 1e-30, "weight_decay": 0.0}), 0, "")
    for _ in range(23):
        run.advance()
    positions = set()
    for (story, position), memory in zip(run.rows, run.memory, strict=True):
        expected = model.first_memory([told[story].keywords])
        for p in range(position):
            expected = model.condition(training.steps_at(model, [(told[story], p)]), expected).memory
        torch.testing.assert_close(memory[None], expected.detach(), atol=1e-5, rtol=0)
        positions.add(position)
    assert len(positions) > 1


def test_stories_without_keywords_or_without_stories(tmp_path):
    model = long_story()
    with pytest.raises(PlotTwistError, match="no keywords in a story that begins 'And then"):
        Story.of(["And then it was.", "It was."], model)
    with pytest.raises(PlotTwistError, match="no stories"):
        train(model, [], [], RUN, 0, tmp_path)


def test_a_paragraph_over_the_limit_has_no_end_to_learn():
    model = long_story()
    end, most = model.tokenizer.end, model.limits.paragraph_tokens
    assert model.target([9] * 3) == [9, 9, 9, end]
    assert model.target([9] * (most - 1))[-1] == end
    assert model.target([9] * most) == [9] * most
