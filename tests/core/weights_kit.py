"""What the tests of weights share: a small real model as bytes, and an environment without the user's own settings."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import pytest

from bge_onnx import ModelSpec
from bge_onnx._cache.entries import Entry
from bge_onnx._catalogue.spec import FileSpec, MavenArtifact, Precision, WeightsSpec
from bge_onnx._repository.files import ModelFiles
from bge_onnx._repository.locate import locate
from bge_onnx._repository.sources import SourceLike
from bge_onnx.testing import write_tiny_model
from bge_onnx.types import Listing, RemoteFile
from tests.core.fake_hub import COMMIT


def files_of(folder: Path) -> dict[str, bytes]:
    """Path to content of every file of a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _tiny() -> dict[str, bytes]:
    with TemporaryDirectory() as scratch:
        return files_of(write_tiny_model(Path(scratch) / "model", layers=1))


WHOLE = _tiny()  # every file of a small embedding model
MODEL, TOKENIZER = WHOLE["onnx/model.onnx"], WHOLE["tokenizer.json"]
FILES = {"onnx/model.onnx": MODEL, "tokenizer.json": TOKENIZER}
REVISION = COMMIT
MEMBERS = {"onnx/model.onnx": "tiny.onnx", "tokenizer.json": "tiny-tokenizer.json"}
DEAD_URL = "http://127.0.0.1:9"  # the discard port: nothing listens


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tiny_spec(*, verified: bool = True, maven: bool = True, name: str = "me/tiny") -> ModelSpec:
    """A model of two small files, with or without sizes and digests, with or without a Maven artefact."""
    model = FileSpec(
        path="onnx/model.onnx",
        role="model",
        size=len(MODEL) if verified else None,
        sha256=sha256(MODEL) if verified else None,
    )
    tokenizer = FileSpec(path="tokenizer.json", role="tokenizer", sha256=sha256(TOKENIZER) if verified else None)
    artifact = MavenArtifact(group="org.me", artifact="tiny", version="1.0", members=tuple(MEMBERS.items()))
    weights = WeightsSpec(
        precision="fp32",
        repository=name,
        revision=REVISION,
        files=(model, tokenizer),
        maven=artifact if maven else None,
    )
    return ModelSpec(name=name, dimension=32, query_instruction="", weights=(weights,))


def find(
    model: ModelSpec | str | Path,
    *,
    cache: Path | None = None,
    sources: Sequence[SourceLike] | None = None,
    precision: Precision = "fp32",
    file: str | None = None,
    revision: str | None = None,
) -> ModelFiles:
    """The files of an embedding model."""
    found = locate(
        model,
        task="embedding",
        cache=cache,
        sources=sources,
        precision=precision,
        file=file,
        revision=revision,
        progress=False,
    )
    return found.files


def isolate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take the user's hub settings, caches, tokens and sources away; the hub is unreachable unless a test sets it."""
    import huggingface_hub.constants as constants

    for name in list(os.environ):
        if name.startswith(("HF_", "BGE_", "HUGGING", "TRANSFORMERS_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", DEAD_URL)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub-home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub-cache"))


def entry(cache: Path, spec: ModelSpec | None = None) -> Path:
    """Where the cache keeps the tiny model."""
    spec = spec or tiny_spec()
    return Entry.of(cache, spec.name, spec.weights[0]).folder


def hub_snapshot(tmp_path: Path, repository: str, files: Mapping[str, bytes], *, commit: str = REVISION) -> Path:
    """A snapshot as huggingface-hub lays it out: blobs named by digest, links to them; returns its folder."""
    folder = tmp_path / "hub-cache" / f"models--{repository.replace('/', '--')}"
    for path, content in files.items():
        blob = folder / "blobs" / sha256(content)
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link = folder / "snapshots" / commit / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    return folder / "snapshots" / commit


def external_model(folder: Path) -> Path:
    """x + w + c, the tensors of an initializer and of a constant node in two further files."""
    weight = onnx.numpy_helper.from_array(np.arange(4, dtype=np.float32), "w")
    constant = onnx.helper.make_node("Constant", [], ["c"], value=onnx.numpy_helper.from_array(np.ones(4, np.float32)))
    float4 = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [4])
    graph = onnx.helper.make_graph(
        [constant, onnx.helper.make_node("Add", ["x", "w"], ["xw"]), onnx.helper.make_node("Add", ["xw", "c"], ["y"])],
        "sum",
        [onnx.helper.make_value_info("x", float4)],
        [onnx.helper.make_value_info("y", float4)],
        [weight],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    constant_tensor = model.graph.node[0].attribute[0].t
    for tensor, name in ((model.graph.initializer[0], "model.onnx_data"), (constant_tensor, "Constant_attr__value")):
        onnx.external_data_helper.set_external_data(tensor, name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(tensor.raw_data)
        tensor.ClearField("raw_data")
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


class Shelf:
    """A repository of one folder's files, which writes down what it was asked for; any process may use it."""

    def __init__(self, folder: Path, *, name: str = "shelf", digests: bool = True) -> None:
        self.folder = folder
        self.name = name
        self.digests = digests

    @property
    def delivered(self) -> list[str]:
        """Paths of all files it delivered."""
        log = self.folder.with_suffix(".log")
        return log.read_text().splitlines() if log.exists() else []

    def list_files(self, model: str, revision: str) -> Listing:
        del model
        held = files_of(self.folder)
        files = (RemoteFile(path, len(held[path]), sha256(held[path]) if self.digests else None) for path in held)
        return Listing(tuple(files), f"shelf-{revision[:4]}")

    def fetch_file(self, model: str, commit: str, path: str, target: Path) -> None:
        del model, commit
        with self.folder.with_suffix(".log").open("a") as log:
            log.write(f"{path}\n")
        target.write_bytes((self.folder / path).read_bytes())


def shelve(folder: Path, files: Mapping[str, bytes] = FILES, **settings: Any) -> Shelf:
    """A `Shelf` with these files."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return Shelf(folder, **settings)
