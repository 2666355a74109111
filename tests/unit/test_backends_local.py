"""A small real checkpoint: answered in this process, and by the OpenAI-compatible server of transformers over HTTP."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch
from backend_servers import free_port, save_checkpoint
from pydantic import BaseModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from plottwist.backends import Failure, Sampling, ask
from plottwist.backends.api import Api
from plottwist.backends.local import Local
from plottwist.cli import app
from plottwist.errors import PlotTwistError
from plottwist.files import read_jsonl

REQUESTS = [[{"role": "user", "content": "word " * length + str(length)}] for length in (1, 30, 3, 3, 12, 60, 7)]
GREEDY = Sampling(max_tokens=12)
DRAWN = Sampling(temperature=0.9, top_p=0.95, top_k=100, max_tokens=12, seed=3)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("hub") / "tiny-chat")


@pytest.fixture(scope="module")
def local(checkpoint: Path) -> Local:
    return Local(checkpoint, device="cpu", batch_size=3)


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_an_answer_does_not_depend_on_the_batch(local, checkpoint, sampling):
    together = local.complete(REQUESTS, sampling)
    assert together == [local.complete([request], sampling)[0] for request in REQUESTS]
    assert together == local.complete(REQUESTS[::-1], sampling)[::-1]
    assert together == Local(checkpoint, device="cpu", batch_size=7).complete(REQUESTS, sampling)
    assert together[2] == together[3]  # equal requests have equal answers
    assert len(set(together)) >= 4


def test_the_seed_decides_the_draw_and_leaves_greedy_alone(local):
    draws = [local.complete(REQUESTS[:1], Sampling(temperature=1.0, max_tokens=12, seed=seed))[0] for seed in range(5)]
    assert len(set(draws)) == 5
    greedy = {local.complete(REQUESTS[:1], Sampling(max_tokens=12, seed=seed))[0] for seed in range(3)}
    assert len(greedy) == 1


def test_greedy_is_what_transformers_generates(local, checkpoint):
    tokenizer, model = AutoTokenizer.from_pretrained(checkpoint), AutoModelForCausalLM.from_pretrained(checkpoint)
    inputs = tokenizer.apply_chat_template(REQUESTS[1], add_generation_prompt=True, return_tensors="pt", return_dict=True)
    made = model.generate(**inputs, do_sample=False, max_new_tokens=12)[0, inputs["input_ids"].shape[1] :]
    assert local.complete(REQUESTS[1:2], GREEDY) == [tokenizer.decode(made, skip_special_tokens=True)]


def test_draws_follow_the_distribution_of_the_model(local, checkpoint):
    """The first token over 400 seeds against the model's own probabilities, cut to the top 3 at temperature 0.7."""
    tokenizer, model = AutoTokenizer.from_pretrained(checkpoint), AutoModelForCausalLM.from_pretrained(checkpoint)
    inputs = tokenizer.apply_chat_template(REQUESTS[0], add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        top = (model(**inputs).logits[0, -1] / 0.7).topk(3)
    expected = dict(zip([tokenizer.decode([t]) for t in top.indices], top.values.softmax(0).tolist(), strict=True))
    n = 400
    drawn = [local.complete(REQUESTS[:1], Sampling(temperature=0.7, top_k=3, max_tokens=1, seed=seed))[0] for seed in range(n)]
    assert set(drawn) <= set(expected)
    for token, p in expected.items():
        assert abs(drawn.count(token) / n - p) < 4 * (p * (1 - p) / n) ** 0.5


def test_a_request_over_the_context_is_a_failure_in_its_place(local):
    long = [{"role": "user", "content": "word " * 600}]
    first, failed, last = local.complete([REQUESTS[0], long, REQUESTS[2]], GREEDY)
    assert [first, last] == local.complete([REQUESTS[0], REQUESTS[2]], GREEDY)
    assert isinstance(failed, Failure)
    assert "over the 512 of tiny-chat" in failed.reason
    assert "surrogate" in local.complete([[{"role": "user", "content": "\ud800"}]], GREEDY)[0].reason


def test_the_name_tells_the_model_and_not_the_machine(local, checkpoint):
    assert local.name == "tiny-chat"
    assert str(checkpoint.parent) not in local.name


def test_models_that_must_not_or_cannot_be_loaded(checkpoint, tmp_path):
    with pytest.raises(PlotTwistError, match="cannot load"):
        Local(tmp_path)
    with pytest.raises(PlotTwistError, match="no chat template"):
        Local(save_checkpoint(tmp_path / "plain", template=None))
    pickled = shutil.copytree(checkpoint, tmp_path / "pickled")
    torch.save(AutoModelForCausalLM.from_pretrained(checkpoint).state_dict(), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(PlotTwistError, match="safetensors") as error:
        Local(pickled)
    assert "\n" not in str(error.value)


def test_code_in_a_checkpoint_is_never_run(checkpoint, tmp_path):
    foreign = shutil.copytree(checkpoint, tmp_path / "foreign")
    config = (
        (foreign / "config.json").read_text().replace('"model_type": "qwen3"', '"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}')
    )
    (foreign / "config.json").write_text(config)
    (foreign / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: ...\n")
    with pytest.raises(PlotTwistError, match="cannot load"):
        Local(foreign)
    assert not (tmp_path / "ran").exists()


@pytest.fixture(scope="module")
def served(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of ``transformers serve`` over the checkpoint, on a free port of localhost."""
    pytest.importorskip("fastapi", reason="transformers serve needs transformers[serving]")
    port, log = free_port(), tmp_path_factory.mktemp("served") / "log"
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(checkpoint), "--host", "127.0.0.1", "--port", str(port)]
    with log.open("w") as stream:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen([*command, "--device", "cpu"], stdout=stream, stderr=stream, env=environment)
        try:
            until = time.monotonic() + 90
            while not _healthy(port):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()
            process.wait()


def _healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=1).status_code == 200
    except httpx.RequestError:
        return False


def test_the_server_of_transformers_answers_as_the_local_model_does(served, checkpoint, local, tmp_path):
    backend = Api(served, "", str(checkpoint), cache=tmp_path)
    # The server takes blanks off the ends of an answer and leaves special tokens in it.
    served_answers = [answer.replace("<|im_start|>", "").strip() for answer in backend.complete(REQUESTS, GREEDY)]
    assert served_answers == [answer.strip() for answer in local.complete(REQUESTS, GREEDY)]


def test_a_real_model_that_cannot_write_json_is_a_failure(served, checkpoint, tmp_path):
    class Mark(BaseModel):
        rating: int

    backend = Api(served, "", str(checkpoint), cache=tmp_path, concurrency=1)
    (failed,) = ask(backend, REQUESTS[:1], Mark, Sampling(temperature=1.0, max_tokens=12), attempts=2)
    assert failed == Failure("no usable answer in 2 attempts; the last: it holds no complete JSON object")
    assert len(list(tmp_path.glob("*/*.json"))) == 2


def test_the_server_of_transformers_refuses_in_one_line(served, checkpoint, tmp_path):
    with pytest.raises(PlotTwistError, match=r"status 400 \(.*Server is pinned") as error:
        Api(served, "", "another-model", cache=tmp_path).complete(REQUESTS[:1], GREEDY)
    assert "\n" not in str(error.value)
    with pytest.raises(PlotTwistError, match="usually ends in /v1"):
        Api(served.removesuffix("/v1"), "", str(checkpoint), cache=tmp_path).complete(REQUESTS[:1], GREEDY)
    with pytest.raises(PlotTwistError, match=r"status 422 \(.*top_k"):
        Api(served, "", str(checkpoint), cache=tmp_path).complete(REQUESTS[:1], Sampling(top_k=3))


def test_the_panel_asks_a_model_in_this_process(tmp_path):
    checkpoint = save_checkpoint(tmp_path / "long-chat", context=8192)
    source, out = tmp_path / "plots.jsonl", tmp_path / "judged.jsonl"
    source.write_text('{"plot": "She left home and found the sea."}\n')
    command = ["judge", str(source), "--mind", "local", "--model", str(checkpoint), "--out", str(out)]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    (judged,) = read_jsonl(out)
    assert judged["mind"] == checkpoint.name
    assert all(score is None for score in judged["scores"].values()), "random weights write no report, and the record says so"
    assert all("no usable answer" in report["error"] for report in judged["reports"])


@pytest.mark.parametrize("told", [["--mind", "local"], ["--mind", "analytic", "--model", "x"]])
def test_a_local_judge_and_its_model_go_together(told, tmp_path):
    (tmp_path / "plots.jsonl").write_text('{"plot": "A plot."}\n')
    with pytest.raises(PlotTwistError, match="go together"):
        CliRunner().invoke(app, ["judge", str(tmp_path / "plots.jsonl"), *told], catch_exceptions=False)
