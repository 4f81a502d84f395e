"""Candidates in files to rankings in files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bge_onnx._heads.vectors import RankedPassage
from bge_onnx._text.checks import check_whole
from bge_onnx.bulk._atomic import write_whole
from bge_onnx.bulk._retrieval import Candidates, read_candidates, read_texts
from bge_onnx.errors import InputValueError
from bge_onnx.reranker import Reranker


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankSummary:
    """What was ranked.

    Attributes:
        queries: Queries.
        pairs: Passages of all of them.
        out: The file.
    """

    queries: int
    pairs: int
    out: Path


def rerank_files(
    reranker: Reranker,
    candidates: Path,
    out: Path,
    *,
    queries: Path | None = None,
    passages: Sequence[Path] = (),
    top_k: int | None = None,
    tag: str = "bge-onnx",
    progress: Callable[[int, int], object] | None = None,
) -> RerankSummary:
    """Rerank what was retrieved for each query.

    Args:
        reranker: An open reranker.
        candidates: A run, or JSON Lines; see `read_candidates`.
        out: `.jsonl` gives one line a query, any other name a TREC run whose score is the logit. It is written under
            another name and renamed, so it is whole or not there.
        queries: Texts of the queries, where `candidates` has only ids.
        passages: Texts of the passages, where `candidates` has only ids; only those that are wanted are kept.
        top_k: The most passages a query to write; None for all.
        tag: Name of the run, its last field.
        progress: Told queries and pairs after each query.

    Raises:
        BadRowError: A line cannot be used; the message names it.
        InputValueError: A text is nowhere to be found, and the message names query and passage; an id or the tag is not
            one word and a TREC run was asked for; or `out` is a folder. Nothing has been computed then.
        BGEError: See `bge_onnx.Reranker.rank`.
    """
    check_whole(top_k, name="top_k", none="all")
    asked = {} if queries is None else read_texts(queries, what="query")
    wanted = _without_text(candidates) if passages else set()
    known: dict[str, str] = {}
    for path in passages:
        known |= read_texts(path, what="passage", wanted=wanted)
    layout = _as_jsonl if out.suffix.lower() in (".jsonl", ".ndjson") else _as_run
    if out.is_dir():
        msg = f"out must be a file, and {out} is a folder; name a file in it"
        raise InputValueError(msg)
    if layout is _as_run:
        _check_field(tag, what="tag")
    _check(candidates, asked, known, words=layout is _as_run)
    out.parent.mkdir(parents=True, exist_ok=True)
    counts = [0, 0]

    def write(file: IO[bytes]) -> None:
        for group in read_candidates(candidates):
            query = _query(group, asked)
            ranked = reranker.rank(query, _texts(group, known), top_k=top_k)
            for line in layout(group, query, ranked, tag):
                file.write(f"{line}\n".encode())
            counts[0] += 1
            counts[1] += len(group.passages)
            if progress is not None:
                progress(*counts)

    write_whole(out, write)
    return RerankSummary(queries=counts[0], pairs=counts[1], out=out)


def _check(candidates: Path, asked: Mapping[str, str], known: Mapping[str, str], *, words: bool) -> None:
    """Look everything up once before anything is computed: a gap in the last query must not be told after hours."""
    for group in read_candidates(candidates):
        _query(group, asked)
        _texts(group, known)
        for name in (group.query_id, *(passage.id for passage in group.passages)) if words else ():
            _check_field(name, what=f"{group.place}: the id")


def _check_field(value: str, *, what: str) -> None:
    """Refuse what a TREC run, whose fields stand between spaces, cannot hold.

    Raises:
        InputValueError: It is empty, or holds white space.
    """
    if value.split() != [value]:
        msg = f"{what} must be one word in a TREC run, got {value!r}; change it, or write a .jsonl file"
        raise InputValueError(msg)


def _without_text(candidates: Path) -> set[str]:
    groups = read_candidates(candidates)
    return {passage.id for group in groups for passage in group.passages if passage.text is None}


def _query(group: Candidates, asked: Mapping[str, str]) -> str:
    text = asked.get(group.query_id, group.query)
    if text is None:
        msg = f"{group.place}: no text for query {group.query_id!r}; name the file that holds the queries"
        raise InputValueError(msg)
    return text


def _texts(group: Candidates, known: Mapping[str, str]) -> list[str]:
    texts = []
    for passage in group.passages:
        text = known.get(passage.id) if passage.text is None else passage.text
        if text is None:
            msg = (
                f"{group.place}: no text for passage {passage.id!r} of query {group.query_id!r}; name the files that "
                "hold the passages"
            )
            raise InputValueError(msg)
        texts.append(text)
    return texts


def _as_run(group: Candidates, query: str, ranked: Sequence[RankedPassage], tag: str) -> Iterator[str]:  # noqa: ARG001
    for rank, passage in enumerate(ranked, 1):
        yield f"{group.query_id} Q0 {group.passages[passage.index].id} {rank} {passage.logit:.6f} {tag}"


def _as_jsonl(group: Candidates, query: str, ranked: Sequence[RankedPassage], tag: str) -> Iterator[str]:  # noqa: ARG001
    candidates = [
        {"doc_id": group.passages[passage.index].id, "score": passage.score, "logit": passage.logit}
        for passage in ranked
    ]
    row = {"query_id": group.query_id, "query": query, "candidates": candidates}
    yield json.dumps(row, ensure_ascii=False)
