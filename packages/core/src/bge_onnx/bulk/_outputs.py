"""What a run writes: one Parquet file, a folder of them, or one `.npy` file with the ids beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from bge_onnx._heads.lexical import LexicalWeights
from bge_onnx._heads.vectors import FloatArray
from bge_onnx.bulk._arrow import Foreign, parquet, pyarrow
from bge_onnx.bulk._atomic import link_whole, write_whole
from bge_onnx.bulk._columns import fixed_size_list, sparse_struct
from bge_onnx.bulk._parts import Part, PartFiles, Parts
from bge_onnx.errors import InputValueError

# Hardly a component of a vector occurs twice: a dictionary of them costs time and saves nothing.
_WRITING: Mapping[str, Any] = {"use_dictionary": False}


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers to the good rows of one part.

    Attributes:
        ids: Whole numbers where the input has no ids, else str.
        vectors: Shape (n, dim), float32.
        sparse: One sparse vector a row; None where none was asked for.
    """

    ids: Sequence[int] | Sequence[str]
    vectors: FloatArray
    sparse: Sequence[LexicalWeights] | None


class Output(Protocol):
    """How answers become files."""

    def part_files(self, answers: Answers) -> PartFiles:
        """What writes each file of a part, by suffix."""

    def assemble(self, parts: Parts, made: Sequence[Part]) -> None:
        """Put the parts together where the user wants them."""

    @property
    def files(self) -> list[Path]:
        """What `assemble` makes."""


@dataclass(frozen=True, slots=True)
class ParquetOutput:
    """One Parquet file with a row group a part.

    Attributes:
        out: The file.
        dimension: Components of a vector.
        facts: What stands in the file's metadata under "bge_onnx".
    """

    out: Path
    dimension: int
    facts: Mapping[str, Any]

    @property
    def files(self) -> list[Path]:
        return [self.out]

    def part_files(self, answers: Answers) -> PartFiles:
        table = self._table(answers)
        rows = max(1, len(table))
        return {".parquet": lambda file: parquet().write_table(table, file, row_group_size=rows, **_WRITING)}

    def assemble(self, parts: Parts, made: Sequence[Part]) -> None:
        pq = parquet()

        def write(file: IO[bytes]) -> None:
            writer = None
            for part in made:
                table = pq.read_table(parts.path(part, ".parquet"), use_threads=False)
                writer = writer or pq.ParquetWriter(file, table.schema, **_WRITING)
                if len(table):
                    writer.write_table(table, row_group_size=len(table))
            if writer is not None:
                writer.close()

        write_whole(self.out, write)

    def _table(self, answers: Answers) -> Foreign:
        pa = pyarrow()
        numbered = all(isinstance(each, int) for each in answers.ids) and not self.facts["id_column"]
        columns = {
            "id": pa.array(answers.ids, pa.int64() if numbered else pa.string()),
            "vector": fixed_size_list(answers.vectors),
        }
        if answers.sparse is not None:
            columns["lexical"] = sparse_struct(answers.sparse)
        table = pa.table(columns)
        return table.replace_schema_metadata({"bge_onnx": json.dumps(self.facts, ensure_ascii=False)})


@dataclass(frozen=True, slots=True)
class DatasetOutput:
    """A folder of Parquet files, one a part, as Spark, Ray, DuckDB and polars read it.

    Attributes:
        out: The folder.
        one: How a part is written.
    """

    out: Path
    one: ParquetOutput

    @property
    def files(self) -> list[Path]:
        return [self.out]

    def part_files(self, answers: Answers) -> PartFiles:
        return self.one.part_files(answers)

    def assemble(self, parts: Parts, made: Sequence[Part]) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        wanted = [parts.path(part, ".parquet") for part in made]
        for stale in set(self.out.glob("part-*.parquet")) - {self.out / path.name for path in wanted}:
            stale.unlink()
        for path in wanted:
            _put(path, self.out / path.name)


@dataclass(frozen=True, slots=True)
class NpyOutput:
    """One `.npy` file that `numpy.load(..., mmap_mode="r")` opens, and the ids beside it, one a line.

    Attributes:
        out: The file of vectors.
        dimension: Components of a vector.
    """

    out: Path
    dimension: int

    @property
    def files(self) -> list[Path]:
        return [self.out, self.out.with_suffix(".ids.txt")]

    def part_files(self, answers: Answers) -> PartFiles:
        if answers.sparse is not None:
            msg = "sparse vectors fit no .npy file; write Parquet"
            raise InputValueError(msg)
        lines = "".join(f"{each}\n" for each in answers.ids).encode()
        return {
            ".npy": lambda file: file.write(np.ascontiguousarray(answers.vectors, np.float32).tobytes()),
            ".ids.txt": lambda file: file.write(lines),
        }

    def assemble(self, parts: Parts, made: Sequence[Part]) -> None:
        rows = sum(part.rows for part in made)

        def write_vectors(file: IO[bytes]) -> None:
            header = {"descr": "<f4", "fortran_order": False, "shape": (rows, self.dimension)}
            np.lib.format.write_array_header_1_0(file, header)
            for part in made:
                _append(parts.path(part, ".npy"), file)

        def write_ids(file: IO[bytes]) -> None:
            for part in made:
                _append(parts.path(part, ".ids.txt"), file)

        vectors, ids = self.files
        write_whole(ids, write_ids)
        write_whole(vectors, write_vectors)


def choose_output(out: Path, *, dimension: int, sparse: bool, facts: Mapping[str, Any]) -> Output:
    """The output that a path means: `.npy`, `.parquet`, or a folder.

    Raises:
        InputValueError: The name ends in something else, or `.npy` is to hold sparse vectors.
    """
    suffix = out.suffix.lower()
    if suffix not in ("", ".npy", ".parquet") and not out.is_dir():
        msg = f"out must end in .parquet or .npy, or be a folder's name without a suffix, got {out.name!r}"
        raise InputValueError(msg)
    if suffix == ".npy":
        if sparse:
            msg = f"sparse vectors fit no .npy file; write Parquet: {out.with_suffix('.parquet').name}"
            raise InputValueError(msg)
        return NpyOutput(out, dimension)
    one = ParquetOutput(out, dimension, facts)
    parquet()  # a missing package is better noticed before the work than after it
    if suffix == ".parquet":
        return one
    return DatasetOutput(out, one)


def _put(source: Path, target: Path) -> None:
    """The file under another name too; a copy only where the file system knows no second names."""
    try:
        link_whole(source, target)
    except OSError:
        write_whole(target, lambda file: _append(source, file))


def _append(source: Path, file: IO[bytes]) -> None:
    with source.open("rb") as content:
        shutil.copyfileobj(content, file, 1 << 20)
