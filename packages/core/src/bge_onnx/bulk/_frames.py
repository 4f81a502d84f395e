"""Batches of every kind that engines hand out: what stands in a column, and the same kind with columns added."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from bge_onnx.bulk._arrow import Foreign, load
from bge_onnx.bulk._columns import Column
from bge_onnx.errors import InputTypeError, InputValueError

# pyarrow.Table, pyarrow.RecordBatch, pandas.DataFrame, polars.DataFrame, a dict of columns or a list of dicts.
Batch: TypeAlias = Foreign
Columns: TypeAlias = Mapping[str, Column]

_SHOWN = 8


def column_of(batch: Batch, name: str) -> list[Any]:
    """What stands in a column, None for what is null.

    Raises:
        InputTypeError: `batch` is of no kind that is known.
        InputValueError: There is no such column.
    """
    match _kind(batch):
        case "rows":
            return [_cell(row, name, position) for position, row in enumerate(batch)]
        case "dict":
            _check_present(name, batch)
            return _as_list(batch[name])
        case "pandas":
            _check_present(name, map(str, batch.columns))
            series = batch[name]
            return [None if gone else value for value, gone in zip(series, series.isna(), strict=True)]
        case "polars":
            _check_present(name, batch.columns)
            return list(batch[name].to_list())
        case _:
            _check_present(name, batch.schema.names)
            return list(batch.column(name).to_pylist())


def with_columns(batch: Batch, source: str, columns: Columns) -> Batch:
    """A batch of the same kind with columns added; `batch` itself stays as it is.

    Args:
        batch: The batch.
        source: The column that was read; a dict's new columns are of its kind: numpy arrays, Arrow arrays or lists.
        columns: What to add, by name.

    Raises:
        InputValueError: There is such a column already.
    """
    _check_absent(batch, columns)
    match _kind(batch):
        case "rows":
            added = {name: column.rows() for name, column in columns.items()}
            return [row | {name: values[i] for name, values in added.items()} for i, row in enumerate(batch)]
        case "dict":
            return {**batch, **{name: _like(batch[source], column) for name, column in columns.items()}}
        case "pandas":
            return _with_pandas(batch, columns)
        case "polars":
            polars = load("polars", extra="bulk", what="polars frames")
            return batch.with_columns(**{name: polars.from_arrow(column.arrow()) for name, column in columns.items()})
    for name, column in columns.items():
        batch = batch.append_column(name, column.arrow())
    return batch


def _with_pandas(frame: Foreign, columns: Columns) -> Foreign:
    pandas = load("pandas", extra="bulk", what="pandas frames")
    series = {}
    for name, column in columns.items():
        array = column.arrow()
        values = pandas.array(array, dtype=pandas.ArrowDtype(array.type))
        series[name] = pandas.Series(values, index=frame.index)
    return frame.assign(**series)


def _kind(batch: Batch) -> str:
    module, name = type(batch).__module__.partition(".")[0], type(batch).__name__
    if module == "pyarrow" and name in ("Table", "RecordBatch"):
        return "arrow"
    if module in ("pandas", "polars") and name == "DataFrame":
        return module
    if isinstance(batch, Mapping):
        return "dict"
    if isinstance(batch, list) and all(isinstance(row, dict) for row in batch):
        return "rows"
    what = "a list that holds something else" if isinstance(batch, list) else f"{module}.{name}"
    msg = (
        f"a batch must be a pyarrow Table or RecordBatch, a pandas or polars DataFrame, a dict of columns or a list of "
        f"dicts, got {what}"
    )
    raise InputTypeError(msg)


def _cell(row: Mapping[str, Any], name: str, position: int) -> object:
    if name not in row:
        held = ", ".join(map(repr, list(row)[:_SHOWN]))
        msg = f"row {position} has no {name!r}; it has {held}"
        raise InputValueError(msg)
    return _none_if_nan(row[name])


def _as_list(values: Foreign) -> list[Any]:
    if isinstance(values, np.ndarray):
        return [_none_if_nan(value) for value in values.tolist()]
    if _is_arrow(values):
        return list(values.to_pylist())
    if not isinstance(values, Sequence) or isinstance(values, str):
        msg = f"a column must be a list, a numpy array or an Arrow array, got {type(values).__name__}"
        raise InputTypeError(msg)
    return [_none_if_nan(value) for value in values]


def _like(source: object, column: Column) -> object:
    if isinstance(source, np.ndarray):
        return column.numpy()
    return column.arrow() if _is_arrow(source) else column.rows()


def _is_arrow(values: object) -> bool:
    return type(values).__module__.partition(".")[0] == "pyarrow"


def _none_if_nan(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


def _check_present(name: str, held: Iterable[str]) -> None:
    names = list(held)
    if name not in names:
        msg = f"the batch has no column {name!r}; it has {', '.join(map(repr, names[:_SHOWN]))}"
        raise InputValueError(msg)


def _check_absent(batch: Batch, columns: Columns) -> None:
    match _kind(batch):
        case "rows":
            held: set[str] = set(batch[0]) if batch else set()
        case "dict":
            held = set(batch)
        case "pandas" | "polars":
            held = set(batch.columns)
        case _:
            held = set(batch.schema.names)
    for name in columns:
        if name in held:
            msg = f"the batch has a column {name!r} already; name another one for the answers"
            raise InputValueError(msg)
