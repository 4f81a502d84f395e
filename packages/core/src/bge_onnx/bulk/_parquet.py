"""Parquet files to records, a bounded number of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from bge_onnx.bulk._arrow import Foreign, parquet, pyarrow
from bge_onnx.bulk._lines import missing_column
from bge_onnx.bulk._records import Record
from bge_onnx.errors import InputValueError

_BATCH = 1024  # rows in memory at a time


def read_parquet(
    name: str, *, column: str, id_column: str | None, advance: Callable[[float], object]
) -> Iterator[Record]:
    """Rows of one file.

    Args:
        name: The file.
        column: The column of texts.
        id_column: The column of ids; None for none.
        advance: Told which share of the file has been read, 0 to 1.

    Raises:
        InputValueError: It is not a Parquet file, lacks a column, or a column has an unsuitable type.
        MissingPackageError: pyarrow is not installed.
    """
    file = _open(name)
    with file:
        schema = file.schema_arrow
        for wanted in filter(None, (column, id_column)):
            if wanted not in schema.names:
                raise missing_column(wanted, schema.names, name)
        _check_type(schema.field(column), name, integers=False)
        if id_column is not None:
            _check_type(schema.field(id_column), name, integers=True)
        wanted_columns = list(dict.fromkeys(filter(None, (column, id_column))))
        total = file.metadata.num_rows
        line = 0
        for batch in file.iter_batches(batch_size=_BATCH, columns=wanted_columns):
            texts = batch.column(column).to_pylist()
            ids = [None] * len(texts) if id_column is None else batch.column(id_column).to_pylist()
            for text, identifier in zip(texts, ids, strict=True):
                line += 1
                yield _record(name, line, text, identifier, column, id_column)
            advance(line / total)


def _open(name: str) -> Foreign:
    pa, pq = pyarrow(), parquet()
    try:
        return pq.ParquetFile(Path(name))
    except pa.ArrowInvalid as error:
        msg = f"{name} is not a readable Parquet file ({str(error).splitlines()[0]}); check it, or pass another format"
        raise InputValueError(msg) from error


def _check_type(field: Foreign, name: str, *, integers: bool) -> None:
    types = pyarrow().types
    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    if not is_text and not (integers and types.is_integer(kind)):
        due = "strings or whole numbers" if integers else "strings"
        msg = f"column {field.name!r} of {name} must hold {due}, it holds {field.type}; convert it"
        raise InputValueError(msg)


def _record(name: str, line: int, text: str | None, identifier: object, column: str, id_column: str | None) -> Record:
    record = Record(file=name, unit="row", line=line)
    if text is None:
        return record.refused(f"{column!r} is null")
    if id_column is not None and identifier is None:
        return record.refused(f"{id_column!r} is null")
    return Record(file=name, unit="row", line=line, id=None if identifier is None else str(identifier), text=text)
