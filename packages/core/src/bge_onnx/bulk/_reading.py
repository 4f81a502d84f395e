"""All inputs as one stream of records, with the share that has been read."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from bge_onnx.bulk._inputs import STDIN, Input
from bge_onnx.bulk._lines import read_csv, read_jsonl, read_text
from bge_onnx.bulk._parquet import read_parquet
from bge_onnx.bulk._records import Record, checked
from bge_onnx.errors import InputValueError

_BUFFER = 1 << 20


class Reading:
    """One pass over the inputs; iterate over it once."""

    def __init__(self, inputs: Sequence[Input], *, column: str, id_column: str | None) -> None:
        """Prepare to read; nothing is opened yet.

        Args:
            inputs: What to read, in order.
            column: Name of the column of texts, where rows have columns.
            id_column: Name of the column of ids; None for none.
        """
        self._inputs = inputs
        self._column = column
        self._id_column = id_column
        sizes = [each.size for each in inputs]
        self._total = None if None in sizes else sum(filter(None, sizes))
        self._before = 0  # bytes of the files that have been read to their end
        self._within = 0.0  # bytes of the file that is being read

    @property
    def fraction(self) -> float | None:
        """The share of all bytes that has been read, 0 to 1; None for standard input, whose end nobody knows."""
        if self._total is None:
            return None
        return min(1.0, (self._before + self._within) / self._total) if self._total else 1.0

    def __iter__(self) -> Iterator[Record]:
        for each in self._inputs:
            size = each.size or 0
            yield from map(checked, self._read(each, size))
            self._before += size
            self._within = 0.0

    def _read(self, each: Input, size: int) -> Iterator[Record]:
        if each.format == "parquet":
            if each.name == STDIN:
                msg = "Parquet cannot be read from standard input: its index stands at the end; pass the file"
                raise InputValueError(msg)

            def advance(share: float) -> None:
                self._within = share * size

            yield from read_parquet(each.name, column=self._column, id_column=self._id_column, advance=advance)
            return
        with ExitStack() as stack:
            raw, file = _open(each.name, stack)
            try:
                for record in self._lines(each, file):
                    self._within = raw.tell() if raw is not None else 0.0
                    yield record
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                msg = f"{each.name} is a damaged gzip file ({error}); copy it anew"
                raise InputValueError(msg) from error

    def _lines(self, each: Input, file: BinaryIO) -> Iterator[Record]:
        match each.format:
            case "jsonl":
                return read_jsonl(file, each.name, column=self._column, id_column=self._id_column)
            case "csv" | "tsv":
                delimiter = "\t" if each.format == "tsv" else ","
                return read_csv(file, each.name, column=self._column, id_column=self._id_column, delimiter=delimiter)
            case _:
                return read_text(file, each.name, column=self._column, id_column=self._id_column)


def _open(name: str, stack: ExitStack) -> tuple[BinaryIO | None, BinaryIO]:
    """The bytes on disk, whose position tells how far reading has come, and the bytes of the rows."""
    if name == STDIN:
        return None, sys.stdin.buffer
    try:
        raw = Path(name).open("rb", buffering=_BUFFER)  # noqa: SIM115  the stack closes it
    except OSError as error:
        msg = f"{name} cannot be read ({error.strerror}); check the path and its permissions"
        raise InputValueError(msg) from error
    stack.callback(raw.close)
    if not name.lower().endswith(".gz"):
        return raw, raw
    unpacked = gzip.open(raw)  # noqa: SIM115  likewise
    stack.callback(unpacked.close)
    return raw, unpacked  # type: ignore[return-value]  # reads bytes as a BinaryIO does
