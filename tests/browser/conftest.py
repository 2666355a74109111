"""A headless Chromium for the tests of pages: Debian's package, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """A running browser; skipped with the reason where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="page tests need playwright (a dev package)")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("page tests need Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def page(browser) -> Iterator:
    """A fresh page that fails the test when anything goes wrong on it: an error on the console, an exception, a request that fails."""
    wrong: list[str] = []
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    opened.on("console", lambda message: wrong.append(f"console: {message.text}") if message.type == "error" else None)
    opened.on("pageerror", lambda error: wrong.append(f"exception: {error}"))
    # What the browser drops because the test leaves the page has not failed.
    opened.on("requestfailed", lambda r: wrong.append(f"request: {r.url}: {r.failure}") if r.failure != "net::ERR_ABORTED" else None)
    yield opened
    opened.close()
    assert not wrong, wrong
