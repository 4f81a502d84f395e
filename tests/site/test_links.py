"""Every link and every picture of the built site leads somewhere, and nothing is fetched from elsewhere."""

from __future__ import annotations

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

# What a page loads by itself; links that people may follow are another matter.
_LOADED = {
    "img": "src",
    "script": "src",
    "link": "href",
    "iframe": "src",
    "source": "src",
    "audio": "src",
    "video": "src",
}


class _Page(HTMLParser):
    """Ids, links and loaded files of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if _LOADED.get(tag) in found and found.get("rel") not in ("canonical", "alternate", "search", "index"):
            self.loaded += [link for link in [found[_LOADED[tag]]] if link != "#"]  # a page's link to itself


@cache
def _page(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _pages(site: Path) -> list[Path]:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    return pages


def test_no_link_and_no_anchor_is_broken(site: Path) -> None:
    broken = []
    for path in _pages(site):
        for link in _page(path).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.exists() or (anchor and target.suffix == ".html" and anchor not in _page(target).ids):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert not broken, "\n".join(broken)


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    elsewhere = [
        f"{path.relative_to(site)}: {link}"
        for path in _pages(site)
        for link in _page(path).loaded
        if urlsplit(link).scheme not in ("", "data") or urlsplit(link).netloc
    ]
    assert not elsewhere, "\n".join(elsewhere)


def test_what_a_page_loads_is_there(site: Path) -> None:
    missing = [
        f"{path.relative_to(site)}: {link}"
        for path in _pages(site)
        for link in _page(path).loaded
        if not urlsplit(link).scheme and not (path.parent / unquote(urlsplit(link).path)).resolve().is_file()
    ]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("word", ["/root/", "/work/"])
def test_no_path_of_the_machine_that_built_it_is_told(site: Path, word: str) -> None:
    told = [path.relative_to(site) for path in _pages(site) if f">{word}" in path.read_text(encoding="utf-8")]
    assert not told
