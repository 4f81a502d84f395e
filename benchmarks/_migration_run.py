"""Runs the classes of other libraries, each in its environment, on the same weights and texts as ours."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _migration_texts as texts
from _migration_peers import Given, Peer
from _models import complete, published
from _texts import words_of
from bge_onnx.testing import write_tiny_model
from peers import REQUIREMENTS, environment, interpreter

RERANKER = "BAAI/bge-reranker-base"
_WORKER = Path(__file__).parent / "workers" / "peer_classes.py"
_COMMIT = "0" * 40  # of the local stand-in for the hub
# FastEmbed takes these models from repositories of its own, where the graph has another name.
_FASTEMBED_FILES = {
    "BAAI/bge-small-en-v1.5": ("Qdrant/bge-small-en-v1.5-onnx-Q", "model_optimized.onnx"),
    "BAAI/bge-small-zh-v1.5": ("Qdrant/bge-small-zh-v1.5", "model_optimized.onnx"),
}
_SENTENCE_TRANSFORMERS_FILES = ("modules.json", "sentence_bert_config.json", "1_Pooling", "2_Normalize")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """One model, as every class can find it.

    Attributes:
        name: Its hub name.
        hub: A folder laid out as the cache of the hub's client, which holds the model under that name.
        folders: The same files where a folder is given, by kind.
        label: For tables, with "random weights" where they are.
    """

    name: str
    hub: Path
    folders: Mapping[Given, Path]
    label: str

    def given(self, how: Given) -> str:
        """What a class gets as its model."""
        return self.name if how == "name" else str(self.folders[how])


def embedding_weights(name: str, work: Path) -> Weights:
    """The published weights of an embedding model.

    Raises:
        WeightsError: No source delivers them.
    """
    model = published(name, work / "models")
    flat = work / "folders" / model.folder.name
    _copied(model.folder, flat)
    if not (flat / "model.onnx").exists():  # where Optimum looks in a folder
        (flat / "model.onnx").hardlink_to(flat / "onnx" / "model.onnx")
    bare = work / "bare-folders" / model.folder.name
    _copied(model.folder, bare, without=_SENTENCE_TRANSFORMERS_FILES)
    hub = work / "hub"
    _snapshot(hub, name, model.folder)
    repository, file = _FASTEMBED_FILES[name]
    _snapshot(hub, repository, model.folder, graph=file)
    return Weights(name=name, hub=hub, folders={"folder": flat, "bare folder": bare}, label=model.label)


def reranker_weights(work: Path) -> Weights:
    """Random weights with bge-reranker-base's layers, whose vocabulary holds the words of the texts alone."""
    folder = work / "models" / "random-reranker"
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        shape = {"layers": 12, "hidden": 768, "heads": 12, "intermediate": 3072}
        write_tiny_model(
            unfinished,
            kind="reranker",
            vocabulary=words_of([texts.QUERY, *texts.PASSAGES, texts.LONG_QUERY, *texts.LONG_PASSAGES]),
            **shape,
        )
        complete(unfinished)
        unfinished.rename(folder)
    hub = work / "hub"
    _snapshot(hub, RERANKER, folder)
    label = "random weights with bge-reranker-base's 12 layers of 768 and a small vocabulary"
    return Weights(name=RERANKER, hub=hub, folders={"folder": folder}, label=label)


def embed(peer: Peer, given: Given, weights: Weights, work: Path) -> dict[str, Any]:
    """Its vectors of the documents and queries, and the versions that made them."""
    request = {"documents": texts.DOCUMENTS, "queries": texts.QUERIES}
    return _answer(peer, weights.given(given), weights, work, request)


def rerank(peer: Peer, weights: Weights, work: Path, *, long: bool) -> dict[str, Any]:
    """Its scores of the passages, or of pairs too long to be read whole, and the versions that made them."""
    query, passages = (texts.LONG_QUERY, texts.LONG_PASSAGES) if long else (texts.QUERY, texts.PASSAGES)
    return _answer(peer, weights.given("name"), weights, work, {"query": query, "passages": passages})


def _answer(peer: Peer, model: str, weights: Weights, work: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """What the class answers; remembered in `work`, since opening torch eleven times takes minutes."""
    body = json.dumps({"peer": peer.key, "model": model, **request})
    listed = (REQUIREMENTS / f"{peer.environment}.txt").read_text(encoding="utf-8")
    kept = work / "answers" / f"{peer.key}-{hashlib.sha256((body + listed).encode()).hexdigest()[:16]}.json"
    if not kept.exists():
        python = interpreter(peer.environment, work)
        hub = str(weights.hub)
        places = {"HF_HUB_CACHE": hub, "FASTEMBED_CACHE_PATH": hub, "LLAMA_INDEX_CACHE_DIR": hub}
        done = subprocess.run(
            [str(python), str(_WORKER)],
            input=body,
            env=environment(peer.environment) | places | {"HAYSTACK_TELEMETRY_ENABLED": "False"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{peer.key} failed with {model}: {done.stderr.strip()[-2000:]}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(done.stdout, encoding="utf-8")
    answer: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return answer


def _snapshot(hub: Path, name: str, source: Path, *, graph: str | None = None) -> None:
    """Lay the files out as the hub's client keeps them."""
    repository = hub / f"models--{name.replace('/', '--')}"
    target = repository / "snapshots" / _COMMIT
    if not target.exists():
        _copied(source, target)
        if graph is not None:
            (target / graph).hardlink_to(target / "onnx" / "model.onnx")
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / "main").write_text(_COMMIT, encoding="utf-8")


def _copied(source: Path, target: Path, *, without: tuple[str, ...] = ()) -> None:
    if not target.exists():
        shutil.copytree(source, target, copy_function=os.link, ignore=shutil.ignore_patterns(*without))
