"""``plottwist refine | explain | studio`` from outside: what they print, and one line for bad input; the page without a browser."""

from __future__ import annotations

import json
import os
import subprocess
import sys

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
    monkeypatch.delenv("PLOTTWIST_API_BASE", raising=False)
    with pytest.raises(PlotTwistError, match="PLOTTWIST_API_BASE"):
        Workshop(tmp_path).refine(TEXT)


class Bench(Workshop):
    """A workshop whose models are simple rules."""

    def generate(self, premise, n=1, seed=0):
        return [f"{premise} It was good in the end, {seed}."] * n, ""

    def rate(self, texts):
        return [NQDScores(*[5.0] * 5) for _ in texts]

    def refine(self, text, premise=None, seed=0):
        def rater(texts):
            return [NQDScores(*[min(10.0, 1.0 + t.count("good"))] * 5) for t in texts]

        class Mind:
            name = "rule"

            def propose(self, drafts, seed):
                return [[f"{draft.text} All was good."] for draft in drafts]

        return refine.refine([text], Mind(), rater, refine.Bands(-1, 1, dict.fromkeys(NQDS, (5.0, 1.0))), [premise])[0]

    def explain(self, text):
        return explain.explain(text)


@pytest.fixture
def page():
    return Page(Bench())


def press(page: Page, job) -> str:
    page.run(job).join(60)
    return page.status.value.partition(">")[2].partition("<")[0]


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


def test_a_session_is_saved_and_comes_back(page):
    page.plot.value = TEXT
    press(page, page._refine)
    press(page, page._save)
    again = Page(Bench())
    again.load(page.session.model_dump_json().encode())
    assert again.session == page.session and again.plot.value == TEXT and again.refined.value == page.refined.value
    with pytest.raises(PlotTwistError, match="no saved studio session"):
        again.load(b'{"premise": 3}')


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
