"""Which files are meant, and how each is read."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from bge_onnx import checks
from bge_onnx._cache.place import expanded, is_folder
from bge_onnx._shown import shown
from bge_onnx.errors import InputTypeError, InputValueError

Format: TypeAlias = Literal["text", "jsonl", "csv", "tsv", "parquet"]

STDIN = "-"

_LONGEST = 2000  # characters of a path or a pattern
_SUFFIXES: dict[str, Format] = {
    ".txt": "text",
    ".text": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
}


@dataclass(frozen=True, slots=True)
class Input:
    """One file to read.

    Attributes:
        name: As the user named it, or found in a folder or by a pattern; "-" is standard input.
        format: How its rows are written.
    """

    name: str
    format: Format

    @property
    def size(self) -> int | None:
        """Bytes on disk; None for what is not a file."""
        path = Path(self.name)
        return path.stat().st_size if self.name != STDIN and path.is_file() else None


def find_inputs(names: object, *, format: Format | None = None) -> list[Input]:  # noqa: A002  the option's own name
    """The files that are meant.

    Args:
        names: Files, folders (every file in them whose name tells its format), patterns such as `corpus/*.jsonl`, or
            "-" for standard input; one or several. What an earlier run has written into a folder is not an input.
        format: How all of them are written; None to tell from each name. Standard input is text unless it says else.

    Returns:
        The files in the given order, those of a folder or pattern sorted by name.

    Raises:
        InputTypeError: `names` are not paths.
        InputValueError: There is no such file, a format cannot be told, or standard input is named beside others.
    """
    checks.choice("format", format, allowed=get_args(Format), none=True)
    found = [path for name in _names(names) for path in _expand(name)]
    if not found:
        msg = "no input was named; pass a file, a folder, a pattern or '-' for standard input"
        raise InputValueError(msg)
    if STDIN in found and len(found) > 1:
        msg = "standard input ('-') cannot be read beside files; pass one or the other"
        raise InputValueError(msg)
    return [Input(name, format or _format(name)) for name in found]


def _names(names: object) -> list[str]:
    several = names if isinstance(names, Sequence) and not isinstance(names, str | bytes) else [names]
    return [_name(name) for name in several]


def _name(name: object) -> str:
    if not isinstance(name, str | PathLike):
        msg = f"inputs must be paths or patterns, got {shown(name)}"
        raise InputTypeError(msg)
    return str(fspath(name))


def _expand(name: str) -> list[str]:
    if name == STDIN:
        return [name]
    if len(name) > _LONGEST:
        msg = f"inputs must be paths or patterns, got {shown(name)}, which is too long for one"
        raise InputValueError(msg)
    try:
        path = expanded(name)
        name.encode()
    except ValueError as error:  # a lone surrogate's error is one, too
        msg = f"inputs must be paths or patterns, got {shown(name)}: {' '.join(str(error).split())}"
        raise InputValueError(msg) from None
    if is_folder(path):
        inside = sorted(
            str(file)
            for file in path.iterdir()
            if file.is_file() and _visible(file) and _suffix(file.name) and not _written_by_a_run(file)
        )
        if not inside:
            msg = f"{name} holds no file that ends in {', '.join(_SUFFIXES)}; name its files"
            raise InputValueError(msg)
        return inside
    if path.exists():
        return [str(path)]
    # Path.glob knows no pattern with a root; the module does.
    matches = sorted(match for match in glob.glob(str(path), recursive=True) if Path(match).is_file())  # noqa: PTH207
    if not matches:
        kind = "no file matches" if glob.has_magic(name) else "there is no file"
        msg = f"{kind} {shown(name)}; check the path"
        raise InputValueError(msg)
    return matches


def _visible(file: Path) -> bool:
    """What Spark and Hadoop write about their own work begins with one of these."""
    return not file.name.startswith((".", "_"))


def _written_by_a_run(file: Path) -> bool:
    """What stands beside an output of `embed_files`, and that output itself."""
    outputs = (file.name, file.name.removesuffix(".bad.jsonl"), f"{file.name.removesuffix('.ids.txt')}.npy")
    return any(file.with_name(f"{name}.manifest.json").is_file() for name in outputs)


def _suffix(name: str) -> Format | None:
    return _SUFFIXES.get(Path(name.lower().removesuffix(".gz")).suffix)


def _format(name: str) -> Format:
    if name == STDIN:
        return "text"
    found = _suffix(name)
    if found is None:
        known = ", ".join(get_args(Format))
        msg = f"{shown(name)} does not tell its format; pass format='jsonl', or which of {known} it is"
        raise InputValueError(msg)
    return found
