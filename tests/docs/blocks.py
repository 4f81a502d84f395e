"""Fenced blocks of a Markdown page, and what comments that readers do not see say about them.

    <!-- setup             Python that runs before the blocks below it, and that no reader needs to see
    ... -->
    <!-- not run: why -->  above a block: nobody runs it, for this reason

A block without language, or of language "text", that follows a program directly is what the program prints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["PROGRAMS", "Block", "blocks_of"]

PROGRAMS = ("python", "sh")

_PIECE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>[^\n`]*)\n(?P<code>.*?)^(?P=indent)(?P=fence) *$"
    r"|<!-- setup\n(?P<setup>.*?)-->"
    r"|<!-- not run: (?P<reason>[^\n]*?) -->",
    re.DOTALL | re.MULTILINE,
)
# A pattern that holds for every page needs no comment on every page.
_REASONS = {
    r"(pip|uv pip) install [^|&]*$": "make release-check installs the wheels into empty environments",
    r"make [a-z-]+( +#.*)?$": "the targets are what continuous integration runs",
}


@dataclass(frozen=True, kw_only=True)
class Block:
    """One block.

    Attributes:
        language: As the fence says it; "setup" for a comment that is run.
        code: Without indentation of the fence.
        line: Where it begins in the page, from 1.
        reason: Why nobody runs it; "" if somebody does.
        printed: What it prints, as the page says; None if the page says nothing.
    """

    language: str
    code: str
    line: int
    reason: str = ""
    printed: str | None = None


def blocks_of(text: str) -> list[Block]:
    """The blocks of a page in their order; directives of the site (```{note}) are no blocks."""
    return list(_joined(_pieces(text)))


def _pieces(text: str) -> Iterator[tuple[Block, bool]]:
    """Every block, and whether only white space stands between it and the block before."""
    reason, end = "", 0
    for piece in _PIECE.finditer(text):
        adjacent = not text[end : piece.start()].strip()
        end = piece.end()
        if piece["reason"] is not None:
            reason = piece["reason"]
            continue
        line = text.count("\n", 0, piece.start()) + 1
        if piece["setup"] is not None:
            yield Block(language="setup", code=piece["setup"], line=line), False
            continue
        language = piece["language"].strip()
        if language.startswith("{"):
            continue
        code = re.sub(f"^{piece['indent']}", "", piece["code"], flags=re.MULTILINE)
        yield Block(language=language, code=code, line=line, reason=reason or _usual_reason(code)), adjacent
        reason = ""


def _joined(pieces: Iterator[tuple[Block, bool]]) -> Iterator[Block]:
    """Programs with what they print."""
    before: Block | None = None
    for block, adjacent in pieces:
        shown = block.language in ("", "text") and not block.reason
        if shown and adjacent and before is not None and before.language in PROGRAMS and before.printed is None:
            before = Block(**{**vars(before), "printed": block.code})
            continue
        if before is not None:
            yield before
        before = block
    if before is not None:
        yield before


def _usual_reason(code: str) -> str:
    lines = [line for line in code.splitlines() if line.strip() and not line.startswith("#")]
    for pattern, reason in _REASONS.items():
        if lines and all(re.fullmatch(pattern, line.strip()) for line in lines):
            return reason
    return ""
