"""The side file of bad rows: JSON Lines that name place and reason and carry the row itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from bge_onnx.bulk._atomic import write_whole
from bge_onnx.bulk._parts import Part, PartFiles, Parts
from bge_onnx.bulk._records import Record

_SUFFIX = ".bad.jsonl"


def side_file(bad: Sequence[Record]) -> PartFiles:
    """What writes the bad rows of one part; nothing where there are none."""
    if not bad:
        return {}
    content = b"".join(map(_line, bad))
    return {_SUFFIX: lambda file: file.write(content)}


def write_side_file(path: Path, parts: Parts, made: Iterable[Part]) -> None:
    """All bad rows of all parts, in the order of the input."""

    def write(file: IO[bytes]) -> None:
        for part in made:
            if _SUFFIX in part.files:
                with parts.path(part, _SUFFIX).open("rb") as rows:
                    shutil.copyfileobj(rows, file)

    write_whole(path, write)


def _line(record: Record) -> bytes:
    row = {
        "file": record.file,
        record.unit: record.line,
        "error": record.problem,
        "id": record.id,
        "raw": record.raw,
    }
    return json.dumps(row, ensure_ascii=False).encode(errors="replace") + b"\n"
