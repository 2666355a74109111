"""``plottwist refine | explain | studio`` from outside: what they print, and one line for bad input; the page without a browser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from plottwist.errors import PlotTwistError
from plottwist.nqd import NQDS, NQDScores
from plottwist.studio import explain, refine, shell
from plottwist.studio.page import Page, _explanation
from plottwist.studio.workshop import Workshop

TEXT = "Anna wanted to open a shop. But Tom hid the keys. Anna found the keys, and Tom forgave her."


def plottwist(*arguments: str, text: str = "") -> subprocess.CompletedProcess:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PLOTTWIST_API")}
    return subprocess.run([sys.executable, "-m", "plottwist", *arguments], input=text.encode(), env=kept, capture_output=True, timeout=120)


def test_explain_reads_standard_input():
    done = plottwist("explain", "-", "--json", text=TEXT)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["measured"]["labels"][1] == "Conflict"


def test_bad_input_is_one_line():
    done = plottwist("explain", "-", text="  \n")
    assert done.returncode == 2
    assert done.stderr.decode().strip().splitlines()[-1] == "plottwist: the plot has no words; write or paste one"


def test_what_cannot_be_read_or_refined_says_how_to_mend_it(tmp_path, monkeypatch):
    with pytest.raises(PlotTwistError, match=r"cannot read .*nowhere.txt"):
        shell.read_text(str(tmp_path / "nowhere.txt"))
    (tmp_path / "latin.txt").write_bytes("Caf\xe9".encode("latin-1"))
    with pytest.raises(PlotTwistError, match="not UTF-8 \\(byte 3\\)"):
        shell.read_text(str(tmp_path / "latin.txt"))


class Bench(Workshop):
    """A workshop whose models are simple rules."""

    def generate(self, premise, n=1, seed=0):
        return [f"{premise} It was good in the end, {seed}."] * n, ""

    def rate(self, texts):
        return [NQDScores(*[5.0] * 5) for _ in texts]

    def rated_by(self, text):
        return "by rule"

    def refine(self, text, premise=None, seed=0):
        def rater(texts):
            return [NQDScores(*[min(10.0, 1.0 + t.count("good"))] * 5) for t in texts]

        class Reviser:
            name = "rule"

            def propose(self, drafts, seed):
                return [[f"{draft.text} All was good."] for draft in drafts]

        return refine.refine([text], Reviser(), rater, refine.Bands(-1, 1, dict.fromkeys(NQDS, (5.0, 1.0))), [premise])[0]

    def explain(self, text):
        return explain.explain(text)


@pytest.fixture
def page():
    return Page(Bench())


def press(page: Page, job) -> str:
    page.run(job).join(60)
    return said(page)


def said(page: Page) -> str:
    return page.status.value.partition(">")[2].partition("<")[0]


def _until(happened, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_the_page_goes_from_premise_to_diff_to_explanation(page):
    page.premise.value, page.number.value = "Anna wants a shop.", 2
    assert press(page, page._generate) == "2 plots written"
    assert page.plot.value.startswith("Anna wants a shop.") and "data:image/png" in page.ratings.value
    page.plot.value = TEXT
    assert "prefers the new version" in press(page, page._refine)
    assert "<ins>" in page.refined.value
    assert press(page, page._explain) == "explained"
    assert "Emotional arc" in page.explained.value and "Conflict" in page.explained.value


def test_the_page_escapes_what_was_pasted(page):
    page.plot.value = "<img src=x onerror=alert(1)> Anna left. " + TEXT
    press(page, page._refine)
    press(page, page._explain)
    assert "<img src=x" not in page.refined.value + page.explained.value


def test_the_page_tells_bad_input_in_one_line_and_goes_on(page):
    assert press(page, page._rate) == "the plot has no words; write or paste one"
    assert not page.buttons["Rate"].disabled and page.cancel.disabled
    page.plot.value = TEXT
    assert press(page, page._rate) == "measured"


def test_a_step_can_be_cancelled(page):
    page.premise.value, page.number.value = "Anna wants a shop.", 8

    def cancelled_at_once():
        for step in page._generate():
            page.cancel.click()
            yield step

    assert press(page, cancelled_at_once) == "cancelled"
    assert len(page.session.plots) < 8


class Slow(Bench):
    """A workshop whose calls last until the gate is opened."""

    def __init__(self):
        super().__init__()
        self.gate, self.calls = threading.Event(), 0

    def _wait(self):
        self.calls += 1
        assert self.gate.wait(60)

    def generate(self, premise, n=1, seed=0):
        self._wait()
        return super().generate(premise, n, seed)

    def rate(self, texts):
        self._wait()
        return super().rate(texts)

    def refine(self, text, premise=None, seed=0):
        self._wait()
        return super().refine(text, premise, seed)

    def explain(self, text):
        self._wait()
        return super().explain(text)


@pytest.mark.parametrize("job", ["_generate", "_rate", "_refine", "_explain"])
def test_cancel_stops_every_job_in_the_middle_of_a_call_and_changes_nothing(job):
    slow = Slow()
    page = Page(slow)
    page.premise.value, page.plot.value = "Anna wants a shop.", TEXT
    before = page.session.model_copy(deep=True)
    thread = page.run(getattr(page, job))
    _until(lambda: slow.calls == 1)
    page.cancel.click()
    thread.join(10)
    assert not thread.is_alive() and said(page) == "cancelled"  # answered while the call is at work still
    assert not page.buttons["Refine"].disabled and page.cancel.disabled
    waiting = page.run(page._explain)
    _until(lambda: said(page) == "waiting for the cancelled step to end")
    assert slow.calls == 1
    slow.gate.set()
    waiting.join(30)
    assert said(page) == "explained" and slow.calls == 2
    assert page.session.model_copy(update={"explanation": None}) == before
    assert page.ratings.value == page.refined.value == "" and page.plot.value == TEXT


def test_the_new_version_can_be_taken_over(page):
    page.plot.value = TEXT
    assert press(page, page._use) == "there is no new version to use; press Refine first"
    press(page, page._refine)
    page.buttons["Use new version"].click()
    _until(lambda: page.plot.value == page.session.refinement.text)
    assert page.plot.value == f"{TEXT} All was good."


def test_ratings_say_of_which_plot_they_are(page):
    page.premise.value, page.number.value = "Anna wants a shop.", 2
    press(page, page._generate)
    page.choice.value = 1
    press(page, page._rate)
    assert [r.label for r in page.session.ratings] == ["plot 2"] and "<th>plot 2</th>" in page.ratings.value
    page.plot.value += " And so on."
    press(page, page._rate)
    assert [r.label for r in page.session.ratings] == ["this plot"]
    assert "by rule" in page.ratings.value
    press(page, page._generate)
    assert [r.label for r in page.session.ratings] == ["plot 1", "plot 2"]


def test_a_session_is_saved_and_comes_back(page):
    page.premise.value, page.number.value = "Anna wants a shop.", 2
    press(page, page._generate)
    page.choice.value = 1
    press(page, page._refine)
    press(page, page._explain)
    assert press(page, page._save).startswith("saved") and page.saved.value
    saved = page.session.model_dump_json().encode()
    again = Page(Bench())
    again.load(saved)
    assert again.session == page.session
    shown = [(p.premise.value, p.plot.value, p.choice.value, p.choice.options, p.ratings.value) for p in (page, again)]
    assert shown[0] == shown[1] and "Evidence for plot 2" in again.ratings.value
    assert (again.refined.value, again.explained.value) == (page.refined.value, page.explained.value)
    press(page, page._rate)
    assert page.saved.value == ""  # the link would give the page of before
    again.plot.value = "a" * 60_001
    assert "60001 characters" in press(again, again._save)


def test_a_changed_plot_comes_back_as_it_was_changed(page):
    page.premise.value, page.number.value = "Anna wants a shop.", 2
    press(page, page._generate)
    page.plot.value = TEXT
    press(page, page._save)
    again = Page(Bench())
    again.load(page.session.model_dump_json().encode())
    assert again.plot.value == TEXT and len(again.choice.options) == 2
    empty = Page(Bench()).session.model_dump_json().encode()
    again.load(empty)
    assert (again.plot.value, again.choice.options, again.ratings.value) == ("", (), "")


def test_the_same_file_can_be_loaded_twice(page):
    page.plot.value = TEXT
    press(page, page._save)
    file = {"name": "s.json", "type": "", "size": 1, "content": memoryview(page.session.model_dump_json().encode()), "last_modified": None}
    for _ in range(2):
        page.plot.value = "another"
        page._loaded({"new": (file,)})
        _until(lambda: not page._running.locked())
        assert (page.plot.value, said(page)) == (TEXT, "loaded")
    page._loaded({"new": ({**file, "content": memoryview(b"{no json")},)})
    _until(lambda: not page._running.locked())
    assert said(page).startswith("the file is no saved studio session (the file: Invalid JSON") and page.plot.value == TEXT


def test_no_key_is_shown(monkeypatch):
    monkeypatch.setenv("PLOTTWIST_API_BASE", "http://localhost:9/v1")
    monkeypatch.setenv("PLOTTWIST_API_MODEL", "some-model")
    monkeypatch.setenv("PLOTTWIST_API_KEY", "sk-very-secret")
    shown = Page(Workshop())
    everything = str(shown.view.children)
    assert "some-model" in shown.workshop.described()
    assert "sk-very-secret" not in everything + shown.workshop.described() + shown.session.model_dump_json()


def test_a_loaded_explanation_cannot_carry_markup_into_the_page():
    found = explain.explain(TEXT)
    bad = {"shape": "<img src=x onerror=alert(1)>", "labels": ["<script>"] * len(found.measured.labels)}
    shown = _explanation(found.model_copy(update={"measured": found.measured.model_copy(update=bad)}))
    assert "<script>" not in shown and "<img src=x" not in shown and "&lt;script&gt;" in shown
