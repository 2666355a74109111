"""The API backend against a real HTTP server that fails in every way it can: nothing crashes, nothing is paid for twice."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from backend_servers import ChatServer, free_port

from plottwist.backends import Failure, Messages, Sampling
from plottwist.backends.api import Api
from plottwist.backends.replay import Replay
from plottwist.errors import PlotTwistError

KEY = "sk-aVerySecretKey1234567890"
GREEDY = Sampling()


def echo(messages: list[dict[str, str]]) -> str:
    return f"answer to {messages[-1]['content']}"


def chats(*prompts: str) -> list[Messages]:
    return [[{"role": "system", "content": "s"}, {"role": "user", "content": prompt}] for prompt in prompts]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(echo).running() as running:
        yield running


@pytest.fixture
def api(server: ChatServer, tmp_path: Path):
    def make(**options) -> Api:
        return Api(server.base, KEY, "tiny", **{"cache": tmp_path / "answers", "backoff": 0.01, "timeout": 0.4, **options})

    return make


FAULTS = ["429 Retry-After=0.2", "500 inner trouble", "timeout", "half", "cut", "drop", "garbage", "empty", "503"]


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_is_tried_again_and_costs_nothing_else(server, api, fault):
    server.faults["b"] = [fault]
    assert api().complete(chats("a", "b", "c"), GREEDY) == ["answer to a", "answer to b", "answer to c"]
    assert server.asked == {"a": 1, "b": 2, "c": 1}


def test_all_faults_in_a_row_then_a_good_answer(server, api):
    server.faults["b"] = list(FAULTS)
    backend = api(attempts=len(FAULTS) + 1)
    assert backend.complete(chats("a", "b", "c", "d"), GREEDY) == [f"answer to {p}" for p in "abcd"]
    assert server.asked == {"a": 1, "b": len(FAULTS) + 1, "c": 1, "d": 1}
    assert backend.complete(chats("a", "b", "c", "d"), GREEDY)[1] == "answer to b"
    assert server.asked.total() == len(FAULTS) + 4


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_is_a_failure_in_its_place(server, api, fault):
    server.faults["b"] = [fault] * 9
    first, failed, last = api(attempts=2).complete(chats("a", "b", "c"), GREEDY)
    assert (first, last) == ("answer to a", "answer to c")
    assert isinstance(failed, Failure)
    assert server.base in failed.reason
    assert failed.reason.endswith("(2 attempts)")
    assert server.asked["b"] == 2


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_honoured(server, api, as_date):
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True).replace(" ", "_") if as_date else "1"
    server.faults["a"] = [f"429 Retry-After={later}"]
    begun = time.monotonic()
    assert api().complete(chats("a"), GREEDY) == ["answer to a"]
    assert 0.9 <= time.monotonic() - begun < 3.5


def test_a_server_that_wants_too_long_a_pause_is_left_alone(server, api):
    server.faults["b"] = ["429 Retry-After=86400"]
    begun = time.monotonic()
    answer, failed = api().complete(chats("a", "b"), GREEDY)
    assert answer == "answer to a"
    assert "86400 seconds; run again later" in failed.reason
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize(
    ("status", "mend"), [(401, "PLOTTWIST_API_KEY"), (403, "may not use"), (404, "usually ends in /v1"), (402, "credit")]
)
def test_a_refused_key_model_or_address_stops_at_once(server, api, status, mend):
    server.faults["b"] = [f"{status} no such thing"] * 9
    with pytest.raises(PlotTwistError, match=mend) as error:
        api(concurrency=1).complete(chats("a", "b", "c"), GREEDY)
    assert "\n" not in str(error.value)
    assert f"status {status} (" in str(error.value)
    assert server.asked["b"] == 1
    assert api(concurrency=1).complete(chats("a"), GREEDY) == ["answer to a"]  # answered before the refusal: kept
    assert server.asked["a"] == 1


def test_a_request_that_is_refused_is_not_tried_again_and_costs_no_other(server, api):
    server.faults["b"] = ["400 context length exceeded"] * 9
    answer, refused = api().complete(chats("a", "b"), GREEDY)
    assert answer == "answer to a"
    assert "status 400" in refused.reason
    assert "too long" in refused.reason
    assert server.asked["b"] == 1


def test_a_server_that_refuses_everything_is_an_error_of_the_set_up(server, api):
    for prompt in "abc":
        server.faults[prompt] = ["400 unknown field top_k"] * 9
    with pytest.raises(PlotTwistError, match=r"status 400 \(.*unknown field top_k"):
        api().complete(chats(*"abc"), GREEDY)
    assert server.asked.total() == 3


def test_a_server_that_is_not_there(tmp_path):
    backend = Api(f"http://127.0.0.1:{free_port()}/v1", KEY, "tiny", cache=tmp_path, backoff=0.01, attempts=2)
    with pytest.raises(PlotTwistError, match="no connection"):
        backend.complete(chats("a"), GREEDY)


def test_a_server_that_falls_silent_is_not_asked_a_thousand_times(server, api):
    prompts = [f"p{i}" for i in range(60)]
    for prompt in prompts[10:]:
        server.faults[prompt] = ["503"] * 9
    answers = api(attempts=2, concurrency=2).complete(chats(*prompts), GREEDY)
    assert answers[:10] == [f"answer to p{i}" for i in range(10)]
    assert all(isinstance(answer, Failure) for answer in answers[10:])
    assert server.asked.total() < 10 + 2 * 12
    assert "run again to go on" in answers[-1].reason


@pytest.mark.parametrize(("key", "echoed"), [(KEY, f"{KEY[:5]}*****{KEY[-4:]}"), ("plain0123456789", "plain0123456789")])
def test_the_key_reaches_the_server_and_nothing_else(server, api, tmp_path, caplog, capfd, key, echoed):
    caplog.set_level(logging.DEBUG)
    server.faults["b"] = [f"400 wrong key {key} given"] * 9
    server.faults["c"] = [f"401 Incorrect API key provided: {echoed}"] * 9
    backend = Api(server.base, key, "tiny", cache=tmp_path)
    failed = backend.complete(chats("a", "b"), GREEDY)[1]
    with pytest.raises(PlotTwistError) as error:
        backend.complete(chats("c"), GREEDY)
    assert all(headers["Authorization"] == f"Bearer {key}" for headers in server.headers)
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 1
    for text in [failed.reason, str(error.value), repr(error.value), repr(backend), caplog.text, *capfd.readouterr(), *written]:
        assert key not in text
        assert echoed not in text


def test_equal_requests_are_asked_once_and_another_draw_anew(server, api):
    backend = api()
    assert backend.complete(chats("a", "a", "b", "a"), GREEDY) == ["answer to a", "answer to a", "answer to b", "answer to a"]
    assert server.asked == {"a": 1, "b": 1}
    backend.complete(chats("a"), Sampling(temperature=1.0, seed=1))
    backend.complete(chats("a"), Sampling(temperature=1.0, seed=2))
    assert server.asked["a"] == 3
    sent = [{k: v for k, v in body.items() if k != "messages"} for body in server.requests[-2:]]
    assert sent == [{"model": "tiny", "temperature": 1.0, "top_p": 1.0, "max_tokens": 1024, "seed": seed} for seed in (1, 2)]
    backend.complete(chats("a"), Sampling(top_k=5))
    assert server.requests[-1]["top_k"] == 5


@pytest.mark.parametrize("damage", [lambda t: "", lambda t: t[: len(t) // 2], lambda t: t.replace('"a"', '"another"'), lambda t: "[]"])
def test_a_damaged_kept_answer_is_discarded_with_a_warning(server, api, tmp_path, damage):
    api().complete(chats("a"), GREEDY)
    (kept,) = (tmp_path / "answers").rglob("*.json")
    kept.write_text(damage(kept.read_text()))
    api().complete(chats("b"), GREEDY)
    with pytest.warns(UserWarning, match="damaged"):
        assert api().complete(chats("a", "b"), GREEDY) == ["answer to a", "answer to b"]
    assert server.asked == {"a": 2, "b": 1}
    assert api().complete(chats("a"), GREEDY) == ["answer to a"]
    assert server.asked["a"] == 2


def test_replay_answers_from_the_kept_answers_only(server, api, tmp_path):
    api().complete(chats("a", "b"), GREEDY)
    replay = Replay(tmp_path / "answers", "tiny")
    answers = replay.complete(chats("b", "new", "a"), GREEDY)
    assert answers[0] == "answer to b"
    assert answers[2] == "answer to a"
    assert "request 2 of this call has no recorded answer of tiny" in answers[1].reason
    assert isinstance(Replay(tmp_path / "answers", "other").complete(chats("a"), GREEDY)[0], Failure)
    assert server.asked.total() == 2
    with pytest.raises(PlotTwistError, match="no folder of recorded answers"):
        Replay(tmp_path / "nothing", "tiny")


def test_no_more_requests_at_once_than_allowed(api, tmp_path):
    with ChatServer(echo, delay=0.05).running() as slow:
        Api(slow.base, "", "tiny", cache=tmp_path / "slow", concurrency=3).complete(chats(*map(str, range(12))), GREEDY)
        assert slow.most_at_once == 3
        assert not any("Authorization" in headers for headers in slow.headers)


def test_answers_that_are_no_text_are_empty_ones_and_odd_characters_survive(api, tmp_path):
    with ChatServer(lambda messages: {"null": None, "half": "\ud800 and \x00 \U0001f409"}[messages[-1]["content"]]).running() as odd:
        backend = Api(odd.base, KEY, "tiny", cache=tmp_path / "odd")
        wanted = ["", "? and \x00 \U0001f409"]
        assert backend.complete(chats("null", "half"), GREEDY) == wanted
        assert backend.complete(chats("null", "half"), GREEDY) == wanted
        assert odd.asked.total() == 2
        (failed,) = backend.complete(chats("half a \udc00 pair"), GREEDY)
        assert "surrogate" in failed.reason


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "PLOTTWIST_API_BASE is not set"),
        ({"BASE": "http://localhost:1/v1"}, "PLOTTWIST_API_MODEL is not set"),
        ({"BASE": "localhost:8000", "MODEL": "m"}, "is not the address of a server"),
        ({"BASE": "http://user:hidden@host/v1", "MODEL": "m"}, "put the key into PLOTTWIST_API_KEY"),
        ({"BASE": "https://host/v1?key=hidden", "MODEL": "m"}, "put the key into PLOTTWIST_API_KEY"),
        ({"BASE": "https://host/v1", "MODEL": "m", "KEY": "hidden\nhidden"}, "copy it again"),
    ],
)
def test_settings_that_cannot_work_are_named(monkeypatch, settings, said):
    for name in ("BASE", "KEY", "MODEL"):
        monkeypatch.delenv(f"PLOTTWIST_API_{name}", raising=False)
        if name in settings:
            monkeypatch.setenv(f"PLOTTWIST_API_{name}", settings[name])
    with pytest.raises(PlotTwistError, match=said) as error:
        Api()
    assert "hidden" not in str(error.value)


def test_the_settings_come_from_the_environment(server, monkeypatch, tmp_path):
    for name, value in {"BASE": server.base + "/", "KEY": KEY, "MODEL": "from-environment"}.items():
        monkeypatch.setenv(f"PLOTTWIST_API_{name}", value)
    backend = Api(cache=tmp_path)
    assert backend.name == "from-environment"
    assert backend.complete(chats("a"), GREEDY) == ["answer to a"]
    assert server.requests[0]["model"] == "from-environment"


ASK_FORTY = """
import sys
from plottwist.backends import Sampling
from plottwist.backends.api import Api
chats = [[{"role": "user", "content": f"p{i}"}] for i in range(40)]
print(*Api(sys.argv[1], "", "tiny", cache=sys.argv[2]).complete(chats, Sampling()), sep="\\n")
"""


def test_a_killed_process_goes_on_without_paying_twice(tmp_path):
    with ChatServer(echo, delay=0.05).running() as slow:
        command = [sys.executable, "-c", ASK_FORTY, slow.base, str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ)
        while slow.asked.total() < 20:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.2)  # what was on its way when the process died is answered into the void
        kept = {json.loads(path.read_text())["messages"][0]["content"] for path in tmp_path.glob("*/*.json")}
        assert 10 <= len(kept) < 40
        out = subprocess.run(command, capture_output=True, text=True, check=True)
        assert out.stdout.split("\n")[:40] == [f"answer to p{i}" for i in range(40)]
        assert out.stderr == ""  # no progress bar where stderr is no terminal
    assert {prompt for prompt, times in slow.asked.items() if times > 1}.isdisjoint(kept)
    assert slow.asked.total() <= 40 + 4  # at most what was on its way


def test_an_interrupt_keeps_what_was_on_its_way(tmp_path):
    with ChatServer(echo, delay=0.05).running() as slow:
        heed = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job inherits a deaf one
        process = subprocess.Popen([sys.executable, "-c", heed + ASK_FORTY, slow.base, str(tmp_path)], stderr=subprocess.PIPE)
        while slow.asked.total() < 12:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
    assert said.strip().endswith(b"KeyboardInterrupt")
    assert len(list(tmp_path.glob("*/*.json"))) == slow.asked.total() < 40
