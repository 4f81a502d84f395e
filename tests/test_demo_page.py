"""The demo's page in a real browser: it shows what it was given, loads nothing, and fits a phone, light and dark."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from examples.demo.page import Page, write_page
from examples.demo.results import Answer, Hit, Score

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
# Written into a copy of the page; what it finds stands in the document that the browser prints.
_PROBE = """
<script>
addEventListener("load", () => {
  const light = colour => colour.match(/\\d+(\\.\\d+)?/g).slice(0, 3).map(Number).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const page = light(getComputedStyle(document.body).backgroundColor);
  const of = (selector, property) => light(getComputedStyle(document.querySelector(selector))[property]);
  const box = selector => { const b = document.querySelector(selector).getBBox(); return [b.width, b.height]; };
  const found = {
    dark: page < 0.2,
    contrast: Object.fromEntries([["body", "color"], [".verdict", "color"], [".soft", "color"],
      ["polyline.en", "stroke"], ["polyline.zh", "stroke"]].map(([s, p]) => [s, contrast(page, of(s, p))])),
    plot: { en: box("polyline.en"), zh: box("polyline.zh") },
    wide: document.documentElement.scrollWidth - innerWidth,
    loaded: performance.getEntriesByType("resource").map(entry => entry.name).filter(name => !name.startsWith("data:")),
    text: document.body.innerText,
    rows: [...document.querySelectorAll(".question")].map(one => one.querySelectorAll("tr").length - 1),
    right: document.querySelectorAll("tr.right").length,
  };
  const told = document.createElement("pre");
  told.id = "probe";
  told.textContent = JSON.stringify(found);
  document.body.append(told);
});
</script>
"""
_EN = Answer(
    "Who <b>won</b> & when?",
    [Hit("Nobody <script>alert(1)</script> did.", 0.71, True, 0.2), Hit("Somebody did. " * 40, 0.6, False, 0.9)],
    ["LangChain", "LlamaIndex", "Haystack"],
    [],
)
_ZH = Answer("黑豹队的防守丢了多少分？", [Hit("黑豹队", 0.7, True)], ["LangChain", "Haystack"], ["LlamaIndex"])


@pytest.fixture(scope="session")
def browser() -> str:
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} is on PATH; apt-get install chromium")
    return found


@pytest.fixture
def page(tmp_path: Path) -> Path:
    target = tmp_path / "demo.html"
    scores = [
        Score("en", "BAAI/bge-small-en-v1.5", [0] * 9 + [3], 0.9531, 5.0),
        Score("zh", "BAAI/bge-small-zh-v1.5", [0] * 8 + [1, None], None, 5.0),
    ]
    facts = [("command", "make demo")]
    write_page(Page("Shown: it is so.", True, {"en": [_EN], "zh": [_ZH]}, scores, "no reranking: none", facts), target)
    return target


def _look(browser: str, page: Path, *options: str) -> dict[str, Any]:
    probed = page.with_name("probed.html")
    probed.write_text(page.read_text(encoding="utf-8").replace("</head>", f"{_PROBE}</head>"), encoding="utf-8")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent / 'profile'}"]
    done = subprocess.run(
        [browser, *flags, *options, "--virtual-time-budget=5000", "--dump-dom", probed.as_uri()],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    told = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert told is not None, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(unescape(told[1]))
    return found


@pytest.mark.slow
def test_it_shows_what_it_was_given_and_loads_nothing(browser: str, page: Path) -> None:
    found = _look(browser, page)
    assert found["loaded"] == []
    assert found["rows"] == [2, 1]
    assert found["right"] == 2
    for text in ("Shown: it is so.", "Who <b>won</b> & when?", "Nobody <script>alert(1)</script> did.", "黑豹队"):
        assert text in found["text"]
    # What the reranker made of it: its score, and the place that the second paragraph takes.
    assert re.search(r"0\.6000\s+0\.9000\s+1\s+Somebody did", found["text"])
    assert "LangChain = Haystack; otherwise: LlamaIndex" in found["text"]
    assert min(found["plot"]["en"]) > 0
    assert min(found["plot"]["zh"]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_can_be_read_in_light_and_dark(browser: str, page: Path, dark: bool) -> None:
    found = _look(browser, page, *(["--blink-settings=preferredColorScheme=0"] if dark else []))
    assert found["dark"] is dark
    # WCAG AA: 4.5 for text, 3 for what a plot draws.
    needed = {name: 3 if "polyline" in name else 4.5 for name in found["contrast"]}
    assert {name: value for name, value in found["contrast"].items() if value < needed[name]} == {}


@pytest.mark.slow
def test_it_fits_a_phone(browser: str, page: Path) -> None:
    # Headless Chromium has a least width of 500 unless a device is emulated, so the page is asked at that.
    assert _look(browser, page, "--window-size=500,800")["wide"] <= 0


def test_it_names_nothing_outside_itself(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)|@import|url\(""", html) == []
    assert "<script" not in html
