"""A pipe, a device, a socket, a link into /proc in place of any file or folder of a model: refused at once."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bge_onnx import BGEError, Embedder, M3Embedder, Reranker
from bge_onnx.testing import write_tiny_model
from tests.core.checkpoint_kit import write_checkpoint

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has none of these files")

_LINKS = ("/dev/zero", "/dev/full", "/proc/self/mem", "/proc/kmsg", "/sys/kernel/mm/transparent_hugepage/enabled", "/")
_KINDS = ("pipe", "socket", "folder", "dangling", "loop", *_LINKS)


def test_every_file_of_a_graph(tmp_path: Path) -> None:
    _try_everywhere(write_tiny_model(tmp_path / "model", layers=1, external_data=True), Embedder, tmp_path)


def test_every_file_of_a_reranker(tmp_path: Path) -> None:
    _try_everywhere(write_tiny_model(tmp_path / "model", kind="reranker", layers=1), Reranker, tmp_path)


def test_every_file_of_bge_m3(tmp_path: Path) -> None:
    _try_everywhere(write_tiny_model(tmp_path / "model", kind="m3", layers=1), M3Embedder, tmp_path)


def test_every_file_of_a_checkpoint_with_a_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    model = write_checkpoint(tmp_path / "model")
    shutil.rmtree(model / "graph")
    words = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]
    (model / "vocab.txt").write_text("\n".join(sorted(words, key=words.__getitem__)))
    (model / "tokenizer.json").unlink()
    for name in ("special_tokens_map.json", "added_tokens.json", "sentence_bert_config.json"):
        (model / name).write_text("{}")
    modules = [{"type": "st.Transformer", "path": ""}, {"type": "st.Pooling", "path": "1_Pooling"}]
    (model / "modules.json").write_text(json.dumps(modules))
    _try_everywhere(model, Embedder, tmp_path)


def _try_everywhere(model: Path, open_model: Callable[[Path], Any], scratch: Path) -> None:
    open_model(model).close()
    for number, victim in enumerate(sorted(path.relative_to(model) for path in model.rglob("*"))):
        for kind in _KINDS:
            shutil.copytree(model, copied := scratch / f"{number}")
            _replace(copied / victim, kind)
            try:
                with contextlib.suppress(BGEError):
                    open_model(copied).close()
            except BaseException as error:
                error.add_note(f"{victim} was a {kind}")
                raise
            shutil.rmtree(copied)


def _replace(path: Path, kind: str) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        _bind(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"dangling": "nowhere", "loop": path.name}.get(kind, kind))


def _bind(path: Path) -> None:
    before = Path.cwd()  # the name of a socket has room for some hundred characters
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(before)
