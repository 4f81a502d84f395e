"""The site in a real browser, opened from its files: search, colours, telephone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

_PAGES = (
    "index",
    "start/langchain",
    "guides/models",
    "guides/reranking",
    "guides/migration",
    "explanation/architecture",
    "operations/troubleshooting",
    "reference/bge-onnx",
    "reference/settings",
    "search",
)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A window without network, in which every complaint of the browser is an error."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    yield page
    context.close()
    assert not complaints


@pytest.mark.parametrize(
    ("words", "title"),
    [("threshold", "Reranking"), ("gunicorn", "Servers"), ("fingerprint", "Caching"), ("BGEReranker", "langchain-bge")],
)
def test_search_finds_the_page(browser: Browser, site: Path, words: str, title: str) -> None:
    """From files, too; browsers then only leave out the text around a hit, which would be read from its page."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    page.locator("input.sidebar-search").first.fill(words)
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#search-results').innerText.includes('Search finished')")
    found = page.locator("#search-results ul.search li > a").all_inner_texts()
    context.close()
    assert any(title in text for text in found), found


def test_search_says_that_nothing_was_found(browser: Browser, site: Path) -> None:
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(f"{(site / 'search.html').as_uri()}?q=zebrafish")
    page.wait_for_function("document.querySelector('#search-results').innerText.includes('did not match')")
    assert page.locator("#search-results ul.search li a").count() == 0
    context.close()


@pytest.mark.parametrize("name", _PAGES)
def test_a_telephone_never_scrolls_sideways(browser: Browser, site: Path, name: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, device_scale_factor=2)
    page = context.new_page()
    page.goto((site / f"{name}.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["guides/reranking", "explanation/architecture"])
def test_drawings_can_be_read_in_both_themes(
    browser: Browser, site: Path, name: str, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto((site / f"{name}.html").as_uri())
    ink, paper = page.evaluate(
        """() => [getComputedStyle(document.querySelector('svg.drawing text')).fill,
                  getComputedStyle(document.body).backgroundColor]"""
    )
    assert _contrast(ink, paper) > 7
    context.close()


def test_the_theme_can_be_switched(page: Page, site: Path) -> None:
    page.goto((site / "index.html").as_uri())
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    seen = set()
    for _ in range(3):
        page.locator("button.theme-toggle:visible").first.click()
        seen.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len({before, *seen}) == 2


def test_programs_can_be_copied(page: Page, site: Path) -> None:
    page.goto((site / "start" / "core.html").as_uri())
    programs = page.locator("div.highlight-python").count()
    assert programs >= 5
    assert page.locator("div.highlight-python button.copybtn").count() == programs


def _contrast(one: str, other: str) -> float:
    """WCAG's ratio of two colours of the form rgb(r, g, b)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    values = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
