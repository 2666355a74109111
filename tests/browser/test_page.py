"""The studio page in headless Chromium, served by Voila as a person would: premise, plots, refinement with its diff, explanation."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

from plottwist import artifacts, paths
from plottwist.corpora import storyworld as sw
from plottwist.studio.workshop import COMMITTED

expect = pytest.importorskip("playwright.sync_api", reason="page tests need playwright (a dev package)").expect
DRAFT = sw.simulate(11, sw.Levels(0.2, 0.2, 0.2, 0.2, 0.2))


@pytest.fixture(scope="module")
def trained() -> bool:
    """Whether the committed weights are there; without them the page is tried on seconds of training, which improve no draft."""
    return (COMMITTED / "bands.json").is_file()


@pytest.fixture(scope="module")
def address(trained: bool, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("studio")
    model = [] if trained else ["--model", str(artifacts.folder("studio_model", "smoke", folder))]
    port = _free_port()
    command = [sys.executable, "-m", "plottwist", "studio", "--port", str(port), "--no-token", "--no-browser", *model]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=paths.ROOT, stdout=log, stderr=log, start_new_session=True)
    try:
        yield _answering(f"http://localhost:{port}/", folder / "log")
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def studio(page, address: str):
    page.goto(address, timeout=90_000)
    page.get_by_role("button", name="Generate").wait_for(timeout=90_000)
    return page


def test_premise_to_plots_to_refinement_to_explanation(studio, trained: bool):
    studio.get_by_label("Premise").fill(DRAFT.premise)
    _press_by_keyboard(studio, "Generate")
    _status(studio, "2 plots written")
    assert studio.get_by_alt_text("Radar of the five dimensions").is_visible()
    assert studio.locator("details").count() == 2
    plot = studio.get_by_label("Plot", exact=True)
    assert len(plot.input_value().split()) > 5
    plot.fill(DRAFT.text)
    studio.get_by_role("button", name="Refine").click()
    _status(studio, "spreads|original is kept")
    assert studio.locator(".diff").is_visible()
    if trained:
        assert studio.locator(".diff ins").count() > 0 and studio.locator(".diff del").count() > 0
    studio.get_by_role("button", name="Explain").click()
    _status(studio, "explained")
    assert studio.locator("img[alt^='Emotional arc']").is_visible()


def test_bad_input_is_one_line_and_a_session_comes_back(studio, tmp_path: Path):
    studio.get_by_role("button", name="Rate", exact=True).click()
    _status(studio, "has no words")
    studio.get_by_label("Plot", exact=True).fill("<script>document.title='taken'</script> " + DRAFT.text)
    studio.get_by_role("button", name="Explain").click()
    _status(studio, "explained")
    assert studio.title() != "taken"
    studio.get_by_role("button", name="Save JSON").click()
    with studio.expect_download() as download:
        studio.get_by_role("link", name="plottwist-studio.json").click()
    download.value.save_as(tmp_path / "session.json")
    studio.get_by_label("Plot", exact=True).fill("something else")
    _load(studio, tmp_path / "session.json")
    _status(studio, "loaded")
    assert DRAFT.text in studio.get_by_label("Plot", exact=True).input_value()
    (tmp_path / "broken.json").write_text("{no json")
    _load(studio, tmp_path / "broken.json")
    _status(studio, "no saved studio session")


def _press_by_keyboard(page, button: str) -> None:
    """From the premise to a button with Tab, then Enter: what is reached so needs no mouse."""
    page.get_by_label("Premise").focus()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText") == button:
            return page.keyboard.press("Enter")
    raise AssertionError(f"no Tab leads to {button}")


def _load(page, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Load JSON").click()
    chooser.value.set_files(file)


def _status(page, pattern: str) -> None:
    expect(page.locator(".status")).to_have_text(re.compile(pattern), timeout=120_000)


def _answering(address: str, log: Path) -> str:
    for _ in range(120):
        try:
            urllib.request.urlopen(address.rstrip("/") + "/voila/static/voila.js", timeout=5)
            return address
        except urllib.error.HTTPError:
            return address
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"the page did not come up: {log.read_text()[-2000:]}")


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_jupyterlab_runs_the_quickstart_and_shows_its_figure(page, tmp_path: Path):
    notebook = nbformat.read(paths.NOTEBOOKS / "00_quickstart.ipynb", as_version=4)
    parameters = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source = parameters.source.replace('"cpu"', '"smoke"').replace('"../build"', f'"{tmp_path / "build"}"')
    nbformat.write(notebook, tmp_path / "00_quickstart.ipynb")
    port = _free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", f"--notebook-dir={tmp_path}", "--allow-root"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen([*command, "--IdentityProvider.token=", "--ServerApp.password="], cwd=paths.ROOT, stdout=log, stderr=log)
    try:
        address = _answering(f"http://localhost:{port}/", tmp_path / "log")
        page.goto(f"{address}lab/tree/00_quickstart.ipynb", timeout=90_000)
        page.locator(".jp-Notebook").wait_for(timeout=90_000)
        page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for(
            timeout=90_000
        )  # a click before the kernel is there is lost
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        expect(page.locator(".jp-RenderedImage img").first).to_be_visible(timeout=180_000)
    finally:
        page.close()  # before the server, which it would miss
        server.terminate()
        server.wait(30)
