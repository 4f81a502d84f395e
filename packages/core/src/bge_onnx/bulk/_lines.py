"""Text lines, JSON Lines and CSV to records. A bad row becomes a bad record; reading goes on behind it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import IO

from bge_onnx._shown import shown
from bge_onnx.bulk._records import Record
from bge_onnx.errors import InputValueError

_BOM = b"\xef\xbb\xbf"
_SHOWN = 8  # names of columns in a message
_JSON_NAMES = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def read_text(file: IO[bytes], name: str, *, column: str, id_column: str | None) -> Iterator[Record]:  # noqa: ARG001
    """One text a line; an empty line is the empty text.

    Raises:
        InputValueError: An id column was named, which lines of text do not have.
    """
    if id_column is not None:
        hint = "lines of text have none; leave the id out, or use JSON Lines or CSV"
        msg = f"{name} has no column {shown(id_column)}: {hint}"
        raise InputValueError(msg)
    for line, raw in enumerate(_lines(file), 1):
        record = Record(file=name, unit="line", line=line)
        try:
            yield _good(record, raw.decode(), None)
        except UnicodeDecodeError as error:
            yield _bad(record, f"it is not valid UTF-8 ({error.reason} at byte {error.start})", _shown(raw))


def read_jsonl(file: IO[bytes], name: str, *, column: str, id_column: str | None) -> Iterator[Record]:
    """One JSON object a line; blank lines are not rows."""
    for line, raw in enumerate(_lines(file), 1):
        if not raw.strip():
            continue
        record = Record(file=name, unit="line", line=line)
        try:
            row = json.loads(raw.decode())
        except (ValueError, RecursionError) as error:
            yield _bad(record, f"it is not JSON ({error})", _shown(raw))
            continue
        try:
            yield _good(record, _string(row, column), None if id_column is None else _identifier(row, id_column))
        except _UnusableError as error:
            yield _bad(record, str(error), _shown(raw))


def read_csv(
    file: IO[bytes], name: str, *, column: str, id_column: str | None, delimiter: str = ","
) -> Iterator[Record]:
    """Rows below a header; fields may hold quoted delimiters and line breaks.

    Raises:
        InputValueError: The header lacks a column.
    """
    csv.field_size_limit(2**31 - 1)  # the module's own limit of 128 KiB a field is below a long passage
    # Bytes that are not UTF-8 come through as lone surrogates, and the row that holds them is refused later.
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    rows = csv.reader(text, delimiter=delimiter, strict=True)
    header = next(rows, None)
    if header is None:
        return
    place = {title: position for position, title in enumerate(header)}
    text_place = _place(place, column, name)
    id_place = None if id_column is None else _place(place, id_column, name)
    while True:
        record = Record(file=name, unit="line", line=rows.line_num + 1)
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            yield _bad(record, f"it is not CSV ({error})", "")
            continue
        if len(row) == len(header):
            yield _good(record, row[text_place], None if id_place is None else row[id_place])
        elif row:
            problem = f"it has {len(row)} fields, the header has {len(header)}"
            yield _bad(record, problem, delimiter.join(row))
    text.detach()


def missing_column(column: str, columns: Iterable[str], name: str) -> InputValueError:
    """What to raise where a whole file lacks a column."""
    held = list(columns)
    more = f" and {len(held) - _SHOWN} more" if len(held) > _SHOWN else ""
    msg = f"{name} has no column {shown(column)}; it has {', '.join(map(repr, held[:_SHOWN]))}{more}: name one of them"
    return InputValueError(msg)


class _UnusableError(Exception):
    """Why a row gives no text or id; never leaves this module."""


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines without their ends; only a line feed, or one behind a carriage return, ends a line."""
    first = True
    for line in file:
        stripped = line.removesuffix(b"\n").removesuffix(b"\r")
        yield stripped.removeprefix(_BOM) if first else stripped
        first = False


def _good(record: Record, text: str, identifier: str | None) -> Record:
    return Record(file=record.file, unit=record.unit, line=record.line, id=identifier, text=text)


def _bad(record: Record, problem: str, raw: str) -> Record:
    return Record(file=record.file, unit=record.unit, line=record.line, problem=problem, raw=raw)


def _shown(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _place(places: dict[str, int], column: str, name: str) -> int:
    if column not in places:
        raise missing_column(column, places, name)
    return places[column]


def _value(row: object, column: str) -> object:
    if not isinstance(row, dict):
        msg = f"it is not a JSON object but {_JSON_NAMES.get(type(row), type(row).__name__)}"
        raise _UnusableError(msg)
    if column not in row:
        held = ", ".join(map(repr, list(row)[:_SHOWN])) or "nothing"
        msg = f"it has no {column!r}, only {held}"
        raise _UnusableError(msg)
    return row[column]


def _string(row: object, column: str) -> str:
    value = _value(row, column)
    if not isinstance(value, str):
        msg = f"{column!r} must be a string, got {json.dumps(value)[:40]}"
        raise _UnusableError(msg)
    return value


def _identifier(row: object, column: str) -> str:
    value = _value(row, column)
    if isinstance(value, bool) or not isinstance(value, str | int):
        msg = f"{column!r} must be a string or a whole number, got {json.dumps(value)[:40]}"
        raise _UnusableError(msg)
    return str(value)
