"""The built site, and a real browser if there is one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built HTML."""
    folder = ROOT / "docs" / "_build" / "html"
    if not (folder / "index.html").is_file():
        pytest.skip(f"{folder} is absent: make docs builds it")
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium: the one that Playwright fetched, else the system's, else that of BGE_BROWSER."""
    system = os.environ.get("BGE_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=system, args=["--no-sandbox"])
        except Error as error:
            pytest.skip(
                f"no browser; playwright install chromium, or apt-get install chromium: {error}".splitlines()[0]
            )
        yield found
        found.close()
