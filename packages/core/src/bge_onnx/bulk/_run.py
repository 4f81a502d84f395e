"""One run over a corpus: records in, committed parts out, nothing done twice and nothing left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias

from bge_onnx._text.roles import Role
from bge_onnx.bulk._encoding import Encoded, encode
from bge_onnx.bulk._outputs import Answers, Output
from bge_onnx.bulk._parts import Part, Parts, ResumeError
from bge_onnx.bulk._reading import Reading
from bge_onnx.bulk._records import Record, digest
from bge_onnx.bulk._side_file import side_file
from bge_onnx.embedder import Embedder

# What becomes of a text over the model's limit. "whole": it is read in parts.
TooLong: TypeAlias = Literal["cut", "bad row", "whole"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedProgress:
    """How far a run has come.

    Attributes:
        rows: Rows of the output so far, those of earlier runs included.
        skipped: Bad rows so far.
        truncated: Texts so far that were cut to the model's limit.
        computed: Rows that this run has embedded itself.
        seconds: Since this run began to embed.
        fraction: Share of the input that has been read, 0 to 1; None where its size is unknown.
        seconds_left: What the rest will take at this rate; None where nobody can tell.
    """

    rows: int
    skipped: int
    truncated: int
    computed: int
    seconds: float
    fraction: float | None
    seconds_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything a run needs, and the way from records to one part."""

    embedder: Embedder
    reading: Reading
    output: Output
    parts: Parts
    role: Role
    sparse: bool
    numbered: bool
    too_long: TooLong
    stop: bool
    part_rows: int

    def make(self, number: int, records: Sequence[Record], *, advance: Callable[[int], object]) -> Part:
        """Embed one part and commit it; `advance` is told how many of its rows are done, now and then."""
        input_digest = digest(records)
        long = {} if self.too_long == "whole" else self._over_limit(records)
        if self.too_long == "bad row":
            limit = self.embedder.max_length
            records = [
                record.refused(f"it has {long[i]} tokens, the limit is {limit}") if i in long else record
                for i, record in enumerate(records)
            ]
        bad = [record for record in records if record.problem is not None]
        if bad and self.stop:
            raise bad[0].error()
        good = [(i, record) for i, record in enumerate(records) if record.problem is None]
        texts = [record.text or "" for _, record in good]
        answers = encode(self.embedder, texts, role=self.role, sparse=self.sparse, advance=advance)
        return self.parts.commit(
            number,
            {**self.output.part_files(self._answers(number, good, answers)), **side_file(bad)},
            rows=len(good),
            records=len(records),
            truncated=len(long) if self.too_long == "cut" else 0,
            input_digest=input_digest,
        )

    def _answers(self, number: int, good: Sequence[tuple[int, Record]], encoded: Encoded) -> Answers:
        first = number * self.part_rows
        ids = [first + i for i, _ in good] if self.numbered else [record.id or "" for _, record in good]
        return Answers(ids, encoded.vectors, encoded.sparse)

    def _over_limit(self, records: Sequence[Record]) -> dict[int, int]:
        """Tokens of each text over the limit, by position."""
        spec = self.embedder.spec
        instruction = spec.query_instruction if self.role == "query" else spec.passage_instruction
        texts = [instruction + record.text for record in records if record.text is not None]
        positions = [i for i, record in enumerate(records) if record.text is not None]
        counts = zip(positions, self.embedder.count_tokens(texts), strict=True)
        return {i: tokens for i, tokens in counts if tokens > self.embedder.max_length}


def make_all(run: Run, progress: Callable[[EmbedProgress], object] | None) -> tuple[list[Part], int]:
    """All parts, and the number of rows that were there already."""
    tally = _Tally(run.reading, progress)
    made: list[Part] = []
    for number, records in enumerate(_batched(run.reading, run.part_rows)):
        part = run.parts.read(number)
        if part is None:
            part = run.make(number, records, advance=tally.report)
            tally.add(part, resumed=False)
        else:
            _check_same(run, number, part, records)
            if run.stop and part.records > part.rows:
                raise skipped_before(run.parts.folder, part.records - part.rows)
            tally.add(part, resumed=True)
        made.append(part)
    return made, tally.resumed


class _Tally:
    """Counts what is done, and tells whoever wants to know."""

    def __init__(self, reading: Reading, progress: Callable[[EmbedProgress], object] | None) -> None:
        self._reading = reading
        self._progress = progress
        self._rows = self._skipped = self._truncated = self.resumed = 0
        self._started, self._begun_at = time.monotonic(), 0.0

    def add(self, part: Part, *, resumed: bool) -> None:
        self._rows += part.rows
        self._skipped += part.records - part.rows
        self._truncated += part.truncated
        if resumed:
            self.resumed += part.rows
            self._started, self._begun_at = time.monotonic(), self._reading.fraction or 0.0
            self.report(0)

    def report(self, ahead: int) -> None:
        """Tell what is done, `ahead` rows of the present part included."""
        if self._progress is None:
            return
        seconds, fraction = time.monotonic() - self._started, self._reading.fraction
        now = EmbedProgress(
            rows=self._rows + ahead,
            skipped=self._skipped,
            truncated=self._truncated,
            computed=self._rows + ahead - self.resumed,
            seconds=seconds,
            fraction=fraction,
            seconds_left=_seconds_left(seconds, fraction, self._begun_at),
        )
        self._progress(now)


def _seconds_left(seconds: float, fraction: float | None, begun_at: float) -> float | None:
    if fraction is None or fraction <= begun_at:
        return None
    return seconds * (1.0 - fraction) / (fraction - begun_at)


def skipped_before(place: Path, bad: int) -> ResumeError:
    """What to raise where an earlier run has skipped rows at which this one would stop."""
    msg = (
        f"{place} was made without {bad} bad rows, which an earlier run skipped; pass on_error='skip' to accept that, "
        "or start over with overwrite=True"
    )
    return ResumeError(msg)


def _check_same(run: Run, number: int, part: Part, records: Sequence[Record]) -> None:
    if part.records != len(records) or part.input_digest != digest(records):
        first = number * run.part_rows
        msg = (
            f"rows {first} to {first + part.records - 1} of the input are not those that {run.parts.folder.name} was "
            "made of; restore the input, or start over with overwrite=True"
        )
        raise ResumeError(msg)


def _batched(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    """Records in lists of `size`; an empty input gives one empty list, which makes an empty output."""
    remaining = iter(records)
    batch = list(islice(remaining, size))
    yield batch
    while batch := list(islice(remaining, size)):
        yield batch
