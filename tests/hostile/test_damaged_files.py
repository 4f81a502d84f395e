"""Any byte of any file of a model may be wrong: it opens, or one error says so; and nothing changes for others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bge_onnx import BGEError, Embedder, M3Embedder, Reranker
from bge_onnx.testing import write_tiny_model
from tests.core.checkpoint_kit import edit_json, write_adapter, write_checkpoint

_ODD_JSON: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 10**400, -(10**400), 1 << 31, 1 << 63, float("nan"), float("inf"), "", "x" * 3000, "\ud800",
    "../../x", "/etc/passwd", [], {}, [[]], {"a": 1},
)  # fmt: skip
_WHOLE = (
    b"", b"\0" * 100_000, b"[" * 100_000, b'{"a":' * 5000, b"null", b"NaN", b"1" * 100_000, b"\xff\xfe{\0}\0", b"{}",
    b"[]", b"PK\x03\x04" + bytes(200), b"\x80\x02}.", b"<!doctype html>", b"version https://git-lfs.github.com/spec/v1",
)  # fmt: skip
_TEXTS = ["hello world", "", "the cat and the dog"]


@st.composite
def _damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Something that happens to the content of a file."""
    kind = draw(st.sampled_from(("bits", "bytes", "cut", "gone", "more", "whole", "twice", "json", "json")))
    places = draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=6))
    piece = draw(st.binary(min_size=1, max_size=48))
    if kind == "whole":
        content = draw(st.sampled_from(_WHOLE))
        return lambda _: content
    if kind == "json":
        value = draw(st.sampled_from(_ODD_JSON))
        return lambda content: _with_odd_value(content, places, value)
    return lambda content: _damaged(content, kind, places, piece)


def _damaged(content: bytes, kind: str, places: list[float], piece: bytes) -> bytes:
    at = [int(place * len(content)) for place in places]
    if kind in ("bits", "bytes"):
        changed = bytearray(content)
        for number, place in enumerate(at if content else ()):
            byte = piece[number % len(piece)]
            changed[place] = changed[place] ^ (1 << byte % 8) if kind == "bits" else byte
        return bytes(changed)
    first = at[0]
    return {
        "cut": content[:first],
        "gone": content[:first] + content[first + len(piece) :],
        "more": content[:first] + piece + content[first:],
        "twice": content + content,
    }[kind]


def _with_odd_value(content: bytes, places: list[float], odd: object) -> bytes:
    """A JSON file with one of its values exchanged, however deep it lies."""
    try:
        value = json.loads(content)
    except ValueError:
        return content
    inner: Any = value
    for depth, place in enumerate(places):
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        if not keys:
            break
        key = keys[int(place * len(keys))]
        if depth == len(places) - 1 or not isinstance(inner[key], dict | list):
            inner[key] = odd
            break
        inner = inner[key]
    return json.dumps(value).encode()


def _graph(folder: Path) -> Path:
    return write_tiny_model(folder, layers=1, hidden=16, heads=2, intermediate=16)


def _m3(folder: Path) -> Path:
    return write_tiny_model(folder, kind="m3", layers=1, hidden=16, heads=2, intermediate=16)


def _reranker(folder: Path) -> Path:
    return write_tiny_model(folder, kind="reranker", layers=1, hidden=16, heads=2, intermediate=16)


def _checkpoint(folder: Path) -> Path:
    folder.mkdir()
    write_checkpoint(folder)
    shutil.rmtree(folder / "graph")
    return folder


def _adapter(folder: Path) -> Path:
    _checkpoint(folder.parent / "base")
    rows = np.ones((4, 32), np.float32)
    module = "base_model.model.encoder.layer.0.attention.self.query"
    write_adapter(folder, {f"{module}.lora_A.weight": rows, f"{module}.lora_B.weight": rows.T.copy()})
    edit_json(folder / "adapter_config.json", base_model_name_or_path=str(folder.parent / "base"))
    return folder


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (_graph, Embedder),
        (_m3, M3Embedder),
        (_reranker, Reranker),
        (_checkpoint, Embedder),
        (_adapter, Embedder),
    ],
    ids=["graph", "m3", "reranker", "checkpoint", "adapter"],
)
def test_a_damaged_model_opens_or_is_refused(
    make: Callable[[Path], Path], kind: type[Any], tmp_path: Path, tiny_embedder: Path
) -> None:
    model = make(tmp_path / "model")
    names = sorted(path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file())
    expected = Embedder(tiny_embedder).embed_documents(_TEXTS)
    use(kind, model)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(name=st.sampled_from(names), damage=_damages())
    def damage_one(name: str, damage: Callable[[bytes], bytes]) -> None:
        whole = (model / name).read_bytes()
        message = ""
        try:
            (model / name).write_bytes(damage(whole))
            use(kind, model)
        except BGEError as error:
            message = str(error)
        finally:
            (model / name).write_bytes(whole)
        assert "\n" not in message
        assert len(message) < 2000

    damage_one()
    use(kind, model)
    np.testing.assert_array_equal(Embedder(tiny_embedder).embed_documents(_TEXTS), expected)


def use(kind: type[Any], model: Path) -> None:
    with kind(model, query_instruction="") if kind is Embedder else kind(model) as opened:
        if kind is Reranker:
            opened.score([(text, "the house") for text in _TEXTS])
        elif kind is M3Embedder:
            opened.encode(_TEXTS, colbert=True)
        else:
            opened.embed_documents(_TEXTS)
