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
# Lines that need no comment on every page; a block is excused if all of its lines are.
_EVERYWHERE = {
    r"(pip|uv pip) install [^|&]*": "make release-check installs the wheels into empty environments",
    r"make [a-z-]+( ARGS=.*)?": "the targets are what continuous integration runs",
}
# Of blocks without a language: those of the language sh are run.
_COMMANDS = {
    r"(\w+=\S+ )*bge-onnx( .*)?": "tests/cli and tests/bulk run every command",
    r"tar [cx]f .*": "it carries the files from one line to the next",
    r"numactl .*": "it needs a machine of several nodes",
    r"(ENV|RUN) .*": "a test runs the steps of examples/docker/Dockerfile",
    r"\$ python -W error::DeprecationWarning -m pytest": "the tests are those of the reader's program",
}
# What most machines lack, so that nobody runs a program that asks for it.
_DEVICES = {r'precision="bf16"': "it needs a processor with bfloat16", r'providers="cuda"': "it needs a GPU"}


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
    """The blocks of a page in their order; directives of the site (```{note}) are not blocks."""
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
        yield Block(language=language, code=code, line=line, reason=reason or _usual_reason(language, code)), adjacent
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


def _usual_reason(language: str, code: str) -> str:
    if language == "python":
        return next((why for pattern, why in _DEVICES.items() if re.search(pattern, code)), "")
    patterns = {**_EVERYWHERE, **({} if language == "sh" else _COMMANDS)}
    found = []
    for line in code.replace("\\\n", " ").splitlines():
        command = re.sub(r"\s+#.*|^#.*", "", line).strip()
        if command:
            found.append(next((why for pattern, why in patterns.items() if re.fullmatch(pattern, command)), ""))
    return found[0] if found and all(found) else ""
