"""The voting page in a real browser: worked by keyboard alone, kept over a reload, downloaded, read back."""

from __future__ import annotations

import json

import pytest

from plottwist.evaluation import study


@pytest.fixture
def made(tmp_path):
    for name, word in (("a", "Good"), ("b", "Poor")):
        rows = [{"premise": f"Premise {i} </script>", "plot": f"{word} plot {i} <b>&amp;</b>"} for i in range(4)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return lambda kind: study.make(tmp_path / "a.jsonl", tmp_path / "b.jsonl", tmp_path / kind, kind)


def download(page, tmp_path):
    with page.expect_download() as event:
        page.click("#download")
    path = tmp_path / event.value.suggested_filename
    event.value.save_as(path)
    return path


def test_a_pair_is_judged_by_keyboard_and_the_votes_come_back(page, made, tmp_path):
    _, html, key = made("ab")
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(html.as_uri())
    page.keyboard.type("Ann 'A,'")  # the name field has the focus
    page.keyboard.press("Enter")
    for _ in range(2):
        left = page.text_content("article:nth-of-type(1)")
        assert "<b>&amp;</b>" in left  # shown as it was written
        page.keyboard.press("ArrowLeft" if "Good" in left else "ArrowRight")
    page.keyboard.press("t")
    assert "4 of 4; 3 answered" in page.text_content("#progress")
    page.reload()
    page.fill("#rater", "Ann 'A,'")
    page.keyboard.press("Enter")
    assert "4 of 4; 3 answered" in page.text_content("#progress")
    page.keyboard.press("ArrowUp")
    assert page.get_attribute("button[data-choice=tie]", "aria-pressed") == "true"
    outcome = study.read_votes([download(page, tmp_path)], key)
    assert (outcome.votes, outcome.bad) == (3, [])
    assert outcome.wins["a.jsonl"].value == pytest.approx(2.5 / 3)
    assert all(url.startswith(("file:", "blob:", "data:")) for url in requests)


def test_a_vote_without_a_name_is_asked_for_it(page, made):
    page.goto(made("ab")[1].as_uri())
    page.click("button[data-choice=left]")
    assert "your name" in page.text_content("#notice")
    assert "0 answered" in page.text_content("#progress")


def test_a_key_held_down_is_one_answer(page, made):
    page.goto(made("rating")[1].as_uri())
    page.fill("#rater", "Bo")
    page.keyboard.press("Enter")
    for _ in range(5):  # down again without up is what a held key sends
        page.keyboard.down("7")
    page.keyboard.up("7")
    assert "2 of 8; 1 answered" in page.text_content("#progress")
    for _ in range(5):
        page.keyboard.down("ArrowDown")
    assert "3 of 8; 1 answered" in page.text_content("#progress")


def test_a_name_that_looks_like_a_formula_is_none_in_the_file_and_comes_back(page, made, tmp_path):
    _, html, key = made("ab")
    page.goto(html.as_uri())
    page.fill("#rater", "=1+1")
    page.keyboard.press("Enter")
    page.keyboard.press("t")
    votes = download(page, tmp_path)
    assert '"\'=1+1"' in votes.read_text(encoding="utf-8")
    assert [rater for rater, _, _ in study._counted([votes], study._key(key))[0]] == ["=1+1"]


def test_ratings_by_digit(page, made, tmp_path):
    _, html, key = made("rating")
    page.goto(html.as_uri())
    page.fill("#rater", "Bo")
    page.keyboard.press("Enter")
    for _ in range(8):
        page.keyboard.press("0" if "Good" in page.text_content("article") else "4")
    assert "All answered" in page.text_content("#notice")
    outcome = study.read_votes([download(page, tmp_path)], key)
    assert outcome.ratings["a.jsonl"].value == 10 and outcome.ratings["b.jsonl"].value == 4
