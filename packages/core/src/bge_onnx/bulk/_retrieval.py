"""What retrieval people have: queries, passages and runs, in the forms of TREC, MS MARCO, BEIR and JSON Lines.

A field goes by many names; the first of those listed here that a row has is taken.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import IO, Any

from bge_onnx.bulk._records import BadRowError
from bge_onnx.errors import InputValueError

_QUERY_IDS = ("query_id", "qid", "query-id", "_id", "id")
_QUERY_TEXTS = ("query", "text", "question")
_PASSAGE_IDS = ("doc_id", "docid", "passage_id", "pid", "corpus-id", "_id", "id")
_PASSAGE_TEXTS = ("text", "contents", "content", "passage", "body")
_LISTS = ("candidates", "passages", "documents", "hits")
_TREC, _MSMARCO = 6, 3  # fields: "qid Q0 docid rank score tag" and "qid docid rank"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One passage to rerank; its text is None where the run has only ids."""

    id: str
    text: str | None


@dataclass(frozen=True, slots=True)
class Candidates:
    """A query with what was retrieved for it.

    Attributes:
        query_id: Its id.
        query: Its text; None where the run has only ids.
        passages: What was retrieved, in the order of the run.
        place: Where it stands, for messages.
    """

    query_id: str
    query: str | None
    passages: Sequence[Candidate]
    place: str


@dataclass(frozen=True, slots=True)
class _Row:
    query_id: str
    query: str | None
    candidate: Candidate
    place: str


def read_candidates(path: Path) -> Iterator[Candidates]:
    """Queries with their candidates, one query at a time.

    A run ("qid Q0 docid rank score tag", or "qid docid rank"), or JSON Lines (`.jsonl`): one line a pair, or one line a
    query with a list of candidates.

    Raises:
        BadRowError: A line is none of these; the message names it.
        InputValueError: The file cannot be read, or the lines of a query do not stand together.
    """
    seen: set[str] = set()
    for group in _groups(path):
        if group.query_id in seen:
            msg = f"{group.place}: query {group.query_id!r} appears again; sort the lines by query"
            raise InputValueError(msg)
        seen.add(group.query_id)
        yield group


def read_texts(path: Path, *, what: str, wanted: Container[str] | None = None) -> dict[str, str]:
    """Texts by id: JSON Lines (`.jsonl`) as BEIR has them, or "id TAB text" lines.

    A title is put before the text, with a space between, as BEIR's evaluation does.

    Args:
        path: The file.
        what: "query" or "passage".
        wanted: Only these ids are kept; None for all.

    Raises:
        BadRowError: A line has no id or text; the message names it.
        InputValueError: The file cannot be read.
    """
    ids, texts = (_QUERY_IDS, _QUERY_TEXTS) if what == "query" else (_PASSAGE_IDS, _PASSAGE_TEXTS)
    found: dict[str, str] = {}
    for place, line in _lines(path):
        if _is_jsonl(path):
            row = _object(line, place)
            key, text = _identifier(row, ids, place), _text(row, texts, place)
        else:
            key, tab, text = line.partition("\t")
            if not tab:
                raise _bad(place, f"a {what} must be 'id TAB text'")
        if wanted is None or key in wanted:
            found[key] = text
    return found


def _groups(path: Path) -> Iterator[Candidates]:
    if _is_jsonl(path):
        lines = ((place, _object(line, place)) for place, line in _lines(path))
        for is_list, several in groupby(lines, key=lambda pair: _list_of(pair[1]) is not None):
            if is_list:
                yield from (_nested(row, place) for place, row in several)
            else:
                yield from _joined(_flat(row, place) for place, row in several)
    else:
        yield from _joined(_run_line(line, place) for place, line in _lines(path))


def _joined(rows: Iterator[_Row]) -> Iterator[Candidates]:
    for query_id, several in groupby(rows, key=lambda row: row.query_id):
        group = list(several)
        yield Candidates(query_id, group[0].query, [row.candidate for row in group], group[0].place)


def _run_line(line: str, place: str) -> _Row:
    fields = line.split()
    if len(fields) == _TREC:
        return _Row(fields[0], None, Candidate(fields[2], None), place)
    if len(fields) == _MSMARCO:
        return _Row(fields[0], None, Candidate(fields[1], None), place)
    raise _bad(place, "a line of a run must be 'qid Q0 docid rank score tag' or 'qid docid rank'")


def _flat(row: Mapping[str, Any], place: str) -> _Row:
    query = row.get("query")
    text = next((row[name] for name in _PASSAGE_TEXTS if isinstance(row.get(name), str)), None)
    candidate = Candidate(_identifier(row, _PASSAGE_IDS[:-2], place), text)
    return _Row(_identifier(row, _QUERY_IDS, place), query if isinstance(query, str) else None, candidate, place)


def _nested(row: Mapping[str, Any], place: str) -> Candidates:
    query = row.get("query", row.get("question"))
    holder: Mapping[str, Any] = {**row, **query} if isinstance(query, dict) else row
    text = holder.get("text", holder.get("query")) if isinstance(query, dict) else query
    passages = [_candidate(each, i, place) for i, each in enumerate(_list_of(row) or ())]
    query_id = _identifier(holder, _QUERY_IDS, place)
    return Candidates(query_id, text if isinstance(text, str) else None, passages, place)


def _candidate(each: object, position: int, place: str) -> Candidate:
    if isinstance(each, str):
        return Candidate(str(position), each)
    if not isinstance(each, dict):
        raise _bad(place, f"candidate {position} must be a string or an object")
    inner = each.get("doc")
    merged = {**each, **inner} if isinstance(inner, dict) else each
    text = _text(merged, _PASSAGE_TEXTS, place) if any(name in merged for name in _PASSAGE_TEXTS) else None
    return Candidate(_identifier(merged, _PASSAGE_IDS, place), text)


def _list_of(row: Mapping[str, Any]) -> Sequence[object] | None:
    return next((row[name] for name in _LISTS if isinstance(row.get(name), list)), None)


def _identifier(row: Mapping[str, Any], names: Sequence[str], place: str) -> str:
    for name in names:
        value = row.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool):
            return str(value)
    raise _bad(place, f"it has no id under any of {', '.join(map(repr, names))}")


def _text(row: Mapping[str, Any], names: Sequence[str], place: str) -> str:
    for name in names:
        value = row.get(name)
        if isinstance(value, str):
            title = row.get("title")
            return f"{title} {value}".strip() if isinstance(title, str) and title else value
    raise _bad(place, f"it has no text under any of {', '.join(map(repr, names))}")


def _object(line: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _bad(place, f"it is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise _bad(place, "it is not a JSON object")
    return row


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with _opened(path) as file:
            for number, raw in enumerate(file, 1):
                place = f"{path}, line {number}"
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise _bad(place, "it is not valid UTF-8") from error
                if line.strip():
                    yield place, line
    except (OSError, EOFError, zlib.error) as error:  # of which a damaged gzip file is one
        msg = f"{path} cannot be read ({getattr(error, 'strerror', None) or error}); check the path"
        raise InputValueError(msg) from error


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _is_jsonl(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith((".jsonl", ".ndjson"))


def _bad(place: str, problem: str) -> BadRowError:
    return BadRowError(f"{place}: {problem}; mend the line")
