"""What the tests of weights share: a model made of a few bytes, and an environment without the user's own settings."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from bge_onnx import ModelSpec
from bge_onnx._catalogue.spec import FileSpec, MavenArtifact, WeightsSpec

MODEL = b"the model's bytes, which no ONNX parser understands. " * 2000
TOKENIZER = b'{"version": "1.0"}'
FILES = {"onnx/model.onnx": MODEL, "tokenizer.json": TOKENIZER}
REVISION = "0123456789abcdef0123456789abcdef01234567"
MEMBERS = {"onnx/model.onnx": "tiny.onnx", "tokenizer.json": "tiny-tokenizer.json"}
DEAD_URL = "http://127.0.0.1:9"  # the discard port: nothing listens


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tiny_spec(*, verified: bool = True, maven: bool = True) -> ModelSpec:
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
        repository="me/tiny",
        revision=REVISION,
        files=(model, tokenizer),
        maven=artifact if maven else None,
    )
    return ModelSpec(name="me/tiny", dimension=8, query_instruction="", weights=(weights,))


def isolate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take the user's hub settings, caches, tokens and sources away; the hub is unreachable unless a test sets it."""
    import huggingface_hub.constants as constants

    for name in list(os.environ):
        if name.startswith(("HF_", "BGE_", "HUGGING")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", DEAD_URL)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub-home"))


def entry(cache: Path) -> Path:
    """Where the cache keeps the tiny model."""
    return cache / "me--tiny" / f"fp32-{REVISION[:12]}"


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
