"""One row of an input: where it stands, what it says, or why it cannot be used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from bge_onnx.errors import InputValueError


class BadRowError(InputValueError):
    """A row of an input cannot be embedded; the message names the file and the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row as it was read.

    Attributes:
        file: The input it stands in, as the user named it.
        unit: What `line` counts: "line" in text files, "row" in Parquet files.
        line: Its number, from 1 on.
        id: What the id column says; None where no column was named.
        text: What to embed; None for a bad row.
        problem: Why it is a bad row; None for a good one.
        raw: The row as it stands in the file, for whoever repairs a bad one; None for a good one.
    """

    file: str
    unit: str
    line: int
    id: str | None = None
    text: str | None = None
    problem: str | None = None
    raw: str | None = None

    @property
    def place(self) -> str:
        """Where it stands, for people: "corpus.jsonl, line 17"."""
        return f"{self.file}, {self.unit} {self.line}"

    def refused(self, problem: str) -> Record:
        """The same row as a bad one."""
        return replace(self, text=None, problem=problem, raw=self.text if self.raw is None else self.raw)

    def error(self) -> BadRowError:
        """What to raise for a bad row."""
        return BadRowError(f"{self.place}: {self.problem}; mend it, or skip such rows with on_error='skip'")


def checked(record: Record) -> Record:
    """The record, or a bad one where its text or id cannot be written as UTF-8, or the id spans lines."""
    for value in (record.text, record.id):
        try:
            (value or "").encode()
        except UnicodeEncodeError:
            return record.refused("it is not valid UTF-8")
    if record.id is not None and ("\n" in record.id or "\r" in record.id):
        return record.refused("its id holds a line break")
    return record


def digest(records: Iterable[Record]) -> str:
    """What a run that goes on compares to make sure that the input is the one it began with; hexadecimal."""
    state = hashlib.blake2b(digest_size=16)
    for record in records:
        for value in (record.id, record.text, record.raw):
            content = b"" if value is None else value.encode("utf-8", "surrogatepass")
            state.update(f"{-1 if value is None else len(content)} ".encode())
            state.update(content)
    return state.hexdigest()
