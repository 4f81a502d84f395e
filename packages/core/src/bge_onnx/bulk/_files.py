"""A corpus in files to vectors in files: bounded memory, and a run that is killed goes on where it was."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeAlias, Unpack, get_args

from bge_onnx import checks
from bge_onnx._shown import shown
from bge_onnx._text.checks import check_whole
from bge_onnx._text.roles import Role, check_role
from bge_onnx.bulk._atomic import read_json, write_json
from bge_onnx.bulk._columns import check_name
from bge_onnx.bulk._encoding import open_for_bulk
from bge_onnx.bulk._inputs import Format, Input, find_inputs
from bge_onnx.bulk._outputs import choose_output
from bge_onnx.bulk._parts import Parts, ResumeError, differing
from bge_onnx.bulk._reading import Reading
from bge_onnx.bulk._run import EmbedProgress, Run, TooLong, make_all, skipped_before
from bge_onnx.bulk._side_file import write_side_file
from bge_onnx.errors import InputTypeError, InputValueError
from bge_onnx.settings import EmbedderSettings, ModelName, Truncate, check_settings

OnError: TypeAlias = Literal["stop", "skip"]

# What a killed run loses at most, and a row group of the Parquet file. Two chunks: half a minute to some minutes of
# work on a few cores.
PART_ROWS = 4096

# What file systems take, with room for the names that are put beside it.
_LONGEST_NAME = 200  # bytes
_LONGEST_PATH = 2000
_TOO_LONG: dict[Truncate, TooLong] = {"warn": "cut", "silent": "cut", "error": "bad row", "window": "whole"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedSummary:
    """What a run made.

    Attributes:
        rows: Rows of the output.
        skipped: Bad rows in the side file.
        truncated: Texts that were cut to the model's limit.
        resumed: Rows that an earlier, interrupted run had embedded.
        dimension: Components of a vector.
        files: What was written; the side file comes last, where there is one.
        complete_before: An earlier run had finished, and nothing was left to do.
    """

    rows: int
    skipped: int
    truncated: int
    resumed: int
    dimension: int
    files: tuple[Path, ...]
    complete_before: bool = False


def embed_files(
    model: ModelName,
    inputs: str | PathLike[str] | Sequence[str | PathLike[str]],
    out: str | PathLike[str],
    *,
    column: str = "text",
    id_column: str | None = None,
    format: Format | None = None,  # noqa: A002  the word users know
    role: Role = "document",
    sparse: bool = False,
    on_error: OnError = "stop",
    part_rows: int = PART_ROWS,
    overwrite: bool = False,
    progress: Callable[[EmbedProgress], object] | None = None,
    **settings: Unpack[EmbedderSettings],
) -> EmbedSummary:
    """Embed every row of some files.

    The same call again goes on where a killed one stopped, and gives the bytes that an uninterrupted run gives, on the
    same kind of machine with the same `threads`. While it runs, `<out>.parts/` holds what is done; at the end
    `<out>.manifest.json` says what was made from what. Memory does not depend on the number of rows.

    Args:
        model: Hub id, catalogue name, local folder, or `ModelSpec`.
        inputs: Files, folders, patterns or "-" for standard input: text lines (`.txt`), JSON Lines (`.jsonl`), CSV,
            TSV, all of these gzipped, or Parquet.
        out: `.parquet` gives one file with the columns `id` and `vector` (a fixed-size list of float32), and `lexical`
            for sparse vectors; `.npy` gives one array and the ids beside it, one a line; any other name is a folder of
            Parquet files.
        column: The column of texts.
        id_column: The column of ids, written as strings; None to number all rows of the input from 0 on.
        format: How the inputs are written; None to tell from their names.
        role: "query" puts the model's query instruction before every text.
        sparse: Also write the lexical weights of a bge-m3.
        on_error: What happens at a row without a usable text: "stop", or "skip" and write it to `<out>.bad.jsonl`.
            With `truncate="error"`, a text over the model's limit is such a row.
        part_rows: Rows of the input that are done or lost together.
        overwrite: Start over even if `out`, or a part of it, is there.
        progress: Told after every part.
        **settings: See `bge_onnx.Embedder`.

    Raises:
        BadRowError: A row cannot be embedded and `on_error` is "stop"; the message names file and line. Run again with
            the row mended to go on.
        InputValueError: An argument cannot work, or an input cannot be read.
        ResumeError: `out` was begun or finished with other settings, or another process is writing it.
        BGEError: The model cannot be opened; see `bge_onnx.Embedder`.
    """
    check_role(role)
    check_whole(part_rows, name="part_rows")
    checks.choice("on_error", on_error, allowed=get_args(OnError))
    sparse, overwrite = (bool(checks.flag(name, one)) for name, one in (("sparse", sparse), ("overwrite", overwrite)))
    check_name("column", column)
    if id_column is not None:
        check_name("id_column", id_column)
    hook: object = progress
    if hook is not None and not callable(hook):
        msg = f"progress must be a function that takes an EmbedProgress, or None, got {shown(hook)}"
        raise InputTypeError(msg)
    check_settings(EmbedderSettings, settings, owner="embed_files")
    found = find_inputs(inputs, format=format)
    target = _target(out)
    with open_for_bulk(model, _quiet(settings), sparse=sparse) as embedder:
        truncate = settings.get("truncate", "warn")
        identity = {
            "model": embedder.spec.name,
            "precision": settings.get("precision", "fp32"),
            "role": role,
            "sparse": sparse,
            "column": column,
            "id_column": id_column,
            "too_long": _TOO_LONG[truncate],
            "part_rows": part_rows,
            "inputs": [[each.name, each.format] for each in found],
            "fingerprint": embedder.fingerprint,
        }
        run = Run(
            embedder=embedder,
            reading=Reading(found, column=column, id_column=id_column),
            output=choose_output(target, dimension=embedder.dimension, sparse=sparse, facts=identity),
            parts=Parts(target.with_name(f"{target.name}.parts")),
            role=role,
            sparse=sparse,
            numbered=id_column is None,
            too_long=_TOO_LONG[truncate],
            stop=on_error == "stop",
            part_rows=part_rows,
        )
        return _finish(run, target, found, identity, overwrite=overwrite, progress=progress)


def _finish(
    run: Run,
    target: Path,
    inputs: Sequence[Input],
    identity: dict[str, Any],
    *,
    overwrite: bool,
    progress: Callable[[EmbedProgress], object] | None,
) -> EmbedSummary:
    busy = ResumeError(f"another process is writing {target}; wait for it, or name another output")
    with run.parts.held(busy=busy), _tidied(run.parts):
        manifest = target.with_name(f"{target.name}.manifest.json")
        side = target.with_name(f"{target.name}.bad.jsonl")
        sizes = [each.size for each in inputs]
        if overwrite:
            run.parts.clear()
            manifest.unlink(missing_ok=True)
        elif (before := _complete(run, target, manifest, side, {**identity, "sizes": sizes})) is not None:
            run.parts.remove()
            return before
        run.parts.begin(identity)
        made, resumed = make_all(run, progress)
        run.output.assemble(run.parts, made)
        files = [*run.output.files]
        skipped = sum(part.records - part.rows for part in made)
        if skipped:
            write_side_file(side, run.parts, made)
            files.append(side)
        else:
            side.unlink(missing_ok=True)
        summary = EmbedSummary(
            rows=sum(part.rows for part in made),
            skipped=skipped,
            truncated=sum(part.truncated for part in made),
            resumed=resumed,
            dimension=run.embedder.dimension,
            files=tuple(files),
        )
        counts = {"rows": summary.rows, "skipped": summary.skipped, "truncated": summary.truncated}
        write_json(manifest, {"settings": {**identity, "sizes": sizes}, **counts})
        run.parts.remove()
        return summary


def _complete(run: Run, target: Path, manifest: Path, side: Path, settings: dict[str, Any]) -> EmbedSummary | None:
    """What an earlier run has finished; None if it has not.

    Raises:
        ResumeError: There is an output, but not of this run.
    """
    if run.parts.begun and not manifest.exists():
        return None
    present = [path for path in run.output.files if path.exists()]
    if not present:
        return None
    found = read_json(manifest)
    difference = "it has no manifest" if found is None else differing(found["settings"], settings)
    if difference is not None:
        msg = (
            f"{target} exists and is not what this run makes ({difference}); name another output, or replace it with "
            "overwrite=True"
        )
        raise ResumeError(msg)
    if run.stop and found["skipped"]:
        raise skipped_before(target, found["skipped"])
    files = (*run.output.files, *([side] if found["skipped"] else []))
    return EmbedSummary(
        rows=found["rows"],
        skipped=found["skipped"],
        truncated=found["truncated"],
        resumed=found["rows"],
        dimension=run.embedder.dimension,
        files=files,
        complete_before=True,
    )


@contextlib.contextmanager
def _tidied(parts: Parts) -> Iterator[None]:
    """Leave nothing behind where nothing was committed."""
    try:
        yield
    except BaseException:
        if parts.empty:
            parts.remove()
        raise


def _quiet(settings: EmbedderSettings) -> EmbedderSettings:
    """The settings with cutting left to be counted here, where file and line are known."""
    quiet = settings.copy()
    if quiet.get("truncate", "warn") in ("warn", "error"):
        quiet["truncate"] = "silent"
    return quiet


def _target(out: object) -> Path:
    path = checks.folder("out", out)
    if path is None:
        msg = "out must be a path, got None"
        raise InputTypeError(msg)
    place = Path(path).expanduser().absolute()
    if len(place.name.encode()) > _LONGEST_NAME or len(path) > _LONGEST_PATH:
        msg = f"out must be a path, got {shown(path)}, which is too long for one"
        raise InputValueError(msg)
    return place
