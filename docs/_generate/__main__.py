"""Brings the generated parts of the pages in line with the data: tables between markers, and drawings.

python docs/_generate           # writes
python docs/_generate --check   # only says what is out of line, and ends with 1
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import drawings
import tables

_DOCS = Path(__file__).resolve().parents[1]
_ROOT = _DOCS.parent
_BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)

_TABLES: Mapping[str, Callable[[Path], str]] = {
    "models": tables.models,
    "scores": tables.scores,
    "footprint": tables.footprint,
    "settings": tables.settings,
    "rerank-quantiles": tables.quantiles,
    "proof": tables.proof,
}
_DRAWINGS: Mapping[str, Callable[[Path], str]] = {
    "guides/cosines.svg": drawings.cosines,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for path, content in outputs():
        if not path.is_file() or path.read_text(encoding="utf-8") != content:
            stale.append(path.relative_to(_ROOT).as_posix())
            if not check:
                path.write_text(content, encoding="utf-8")
    for name in stale:
        print(f"{name} is out of line with the data: run python docs/_generate" if check else name)
    return 1 if check and stale else 0


def outputs() -> list[tuple[Path, str]]:
    """Every page with generated parts and every drawing, as it should be."""
    pages = sorted([_ROOT / "README.md", *(path for path in _DOCS.rglob("*.md") if "_build" not in path.parts)])
    found = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        if _BLOCK.search(text):
            found.append((page, _BLOCK.sub(lambda block: f"{block[1]}{_TABLES[block[2]](_ROOT)}\n{block[3]}", text)))
    return [*found, *((_DOCS / name, draw(_ROOT)) for name, draw in _DRAWINGS.items())]


if __name__ == "__main__":
    sys.exit(main())
