"""The static site in a real browser: every link leads somewhere, every image loads, nothing complains, nothing is fetched from a network."""

from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

FIGURE = """
import pandas as pd
rows = [{"nqd": n, "level": l / 4, "score": 1 + 9 * l / 4} for n in ("character", "tone", "pacing", "coherence", "emotion") for l in range(5)]
run.table("levels", pd.DataFrame(rows))
run.metric("reader_rho_min", 0.95)
run.figure("levels")
"""
PROSE = "# 00 · A title\n\nAn equation $\\alpha + \\beta = 1$, and one displayed:\n\n$$h = \\tanh(W x)$$\n\nSee [the next](01_b.ipynb) and [the data](../data/plots/README.md). `$HOME` and 5$ stay."


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    import nbformat

    from tests.conftest import Repository

    repository = Repository(tmp_path_factory.mktemp("site") / "repository")
    for name, body in (("00_quickstart", FIGURE), ("01_b", "run.metric('x', 1.0)")):
        path = repository.notebook(name, body)
        notebook = nbformat.read(path, as_version=4)
        notebook.cells.insert(0, nbformat.v4.new_markdown_cell(PROSE if name == "00_quickstart" else "# 01 · Another"))
        nbformat.write(notebook, path)
        ran = repository.plottwist("run", name, "--profile", "smoke")
        assert ran.returncode == 0, ran.stderr
    made = repository.plottwist("report", "--profile", "smoke")
    assert made.returncode == 0, made.stderr
    return Path(made.stdout.strip()).parent


def test_every_page_is_whole(site, page):
    waiting, seen = [(site / "index.html").as_uri()], set()
    while waiting:
        address = waiting.pop()
        if address in seen:
            continue
        seen.add(address)
        page.goto(address)
        assert page.title() and page.locator("h1").first.inner_text()
        for image in page.locator("img").all():
            image.scroll_into_view_if_needed()
            image.evaluate("i => i.decode()")
            assert image.evaluate("i => i.naturalWidth") > 0, image.get_attribute("src")
        for link in page.eval_on_selector_all("a[href]", "links => links.map(l => l.href)"):
            parts = urlparse(link)
            if parts.scheme == "file":
                target = Path(unquote(parts.path))
                assert target.exists(), f"{address} links to {target}"
                if target.suffix == ".html":
                    waiting.append(link.split("#")[0])
    assert {Path(urlparse(a).path).name for a in seen} == {"index.html", "00_quickstart.html", "01_b.html"}


def test_equations_are_drawn_without_a_network(site, page):
    page.goto((site / "00_quickstart.html").as_uri())
    assert page.locator("math").count() == 2
    assert page.locator("math[display=block]").bounding_box()["height"] > 10
    assert "$HOME" in page.inner_text("main") and "5$ stay" in page.inner_text("main")


def test_the_index_shows_claims_with_their_status_and_the_figures(site, page):
    page.goto((site / "index.html").as_uri())
    assert page.locator(".status").count() >= 10
    assert page.locator("figure img").count() == 1


def test_without_a_run_there_is_one_line(repository):
    failed = repository.plottwist("report", "--profile", "smoke")
    assert failed.returncode == 2 and failed.stderr.count("\n") == 1 and "plottwist reproduce --profile smoke" in failed.stderr
