"""Every argument of everything public against every odd value: right, or an error that names it and the way out."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import qdrant_client
from haystack import Document as HaystackDocument
from haystack.document_stores.in_memory import InMemoryDocumentStore
from langchain_core.documents import Document as LangChainDocument
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import Document as LlamaDocument
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import NodeWithScore, TextNode
from pydantic import ValidationError
from qdrant_client.models import Distance, PointStruct, VectorParams

from bge_onnx import BGEError, Embedder, M3Embedder, ModelSpec
from bge_onnx.testing import write_tiny_model
from langchain_bge import BGEEmbeddings
from llama_index.embeddings.bge import BGEEmbedding
from tests.hostile.hints import fits
from tests.hostile.odd_values import BROKEN, ODD
from tests.hostile.surface import Target, targets

_TARGETS = targets()
_M3 = re.compile("M3|Sparse|ColBERT|Hybrid")
_RERANKER = re.compile("Rerank|Rank|CrossEncoder|Retriever")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A tiny model of each kind."""
    root = tmp_path_factory.mktemp("models")
    return {kind: str(write_tiny_model(root / kind, kind=kind, layers=1)) for kind in ("embedder", "reranker", "m3")}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, and no folder but this test's."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("BGE_SOURCES", "cache")
    monkeypatch.chdir(tmp_path)


@cache
def _memory() -> qdrant_client.QdrantClient:
    return qdrant_client.QdrantClient(":memory:")


class Given:
    """Arguments that work, by the name of the parameter."""

    def __init__(self, models: Mapping[str, str], scratch: Path) -> None:
        self._models = models
        self._scratch = scratch

    def model(self, label: str) -> str:
        kind = "m3" if _M3.search(label) else "reranker" if _RERANKER.search(label) else "embedder"
        return self._models[kind]

    def arguments(self, target: Target) -> dict[str, Any]:
        names = [name for name in target.parameters if name in target.required or name in ("model", "model_name")]
        return {name: self.value(name, target.label) for name in names}

    def value(self, name: str, label: str) -> Any:
        exact = getattr(self, f"_{name}", None)
        if exact is None:
            pytest.fail(f"{label} has a new argument {name!r}: say in `Given` what works, so that the rest is tried")
        return exact(label)

    def instance(self, kind: type, label: str) -> Any:
        if label == "LexicalWeights":
            return self._a("lexical_score")
        if label == "Recipe":
            return kind(model="a/b", pooling="cls", max_length=512, prefix="")
        if label == "CountsTokens":
            return Embedder(self.model(""))
        target = next(target for target in _TARGETS if target.label == label)
        made = kind(**self.arguments(target))
        if label == "QdrantHybrid":
            made.add(["one two"], ids=[1], payloads=[{}])
        return made

    def _model(self, label: str) -> Any:
        return self.model(label)

    _model_name = _model

    def _texts(self, label: str) -> Any:
        if label == "read_npy":
            return self._text_file()
        return [f"text {number}" for number in range(8)] if label == "check_index" else ["one two", "three"]

    _queries = _texts

    def _passages(self, label: str) -> Any:
        return [np.ones((3, 32), np.float32)] if label.endswith("rank_stored") else self._texts(label)

    def _text(self, label: str) -> Any:
        return "one two"

    _metadata_str = _text

    def _query(self, label: str) -> Any:
        return np.ones((3, 8), np.float32) if label == "colbert_score" else "one two"

    def _pairs(self, label: str) -> Any:
        return [("one", "two"), ("one", "three")]

    _text_pairs = _pairs

    def _documents(self, label: str) -> Any:
        texts = ("one two", "three")
        if label.startswith("llamaindex"):
            return [LlamaDocument(text=text) for text in texts]
        if label.startswith("haystack"):
            return [HaystackDocument(content=text) for text in texts]
        return [LangChainDocument(text) for text in texts]

    def _nodes(self, label: str) -> Any:
        return [NodeWithScore(node=TextNode(text=text)) for text in ("one two", "three")]

    def _spec(self, label: str) -> Any:
        return ModelSpec(name="me/mine", dimension=8, query_instruction="")

    def _name(self, label: str) -> Any:
        return "BAAI/bge-m3" if label == "get_model" else "me/mine"

    def _query_instruction(self, label: str) -> Any:
        return ""

    def _precision(self, label: str) -> Any:
        return "fp32"

    def _repository(self, label: str) -> Any:
        return "me/mine"

    def _revision(self, label: str) -> Any:
        return "main"

    def _role(self, label: str) -> Any:
        return "model"

    def _members(self, label: str) -> Any:
        return (("model.onnx", "a.onnx"),)

    def _group(self, label: str) -> Any:
        return "org.me"

    _artifact = _version = _group

    def _dimension(self, label: str) -> Any:
        return 250_002

    def _weights(self, label: str) -> Any:
        if label in ("check_weights", "check_fusion"):
            return (0.4, 0.2, 0.4)
        return [0.5, 0.5] if label == "weighted_score" else self._a("lexical_score")

    def _a(self, label: str) -> Any:
        if label == "lexical_score":
            return M3Embedder(self._models["m3"]).lexical_weights(["one two"])[0]
        return np.ones(8, np.float32)

    _b = _a

    def _logits(self, label: str) -> Any:
        return [0.5, -0.5]

    def _scores(self, label: str) -> Any:
        return [[0.5, -0.5], [1.0, 1.0]]

    def _vectors(self, label: str) -> Any:
        if label == "read_npy":
            np.save(path := self._scratch / "vectors.npy", np.ones((2, 8), np.float32))
            return path
        return Embedder(self.model("")).embed_documents(self._texts("check_index"))

    def _passage(self, label: str) -> Any:
        return np.ones((3, 8), np.float32)

    def _embedder(self, label: str) -> Any:
        return M3Embedder(self._models["m3"])

    def _client(self, label: str) -> Any:
        return _memory()

    def _collection(self, label: str) -> Any:
        return "passages"

    _collection_name = _collection

    def _ids(self, label: str) -> Any:
        return [1, 2]

    def _payloads(self, label: str) -> Any:
        return [{}, {}]

    def _index(self, label: str) -> Any:
        return VectorStoreIndex.from_documents([LlamaDocument(text="one")], embed_model=BGEEmbedding(self.model("")))

    def _store(self, label: str) -> Any:
        if label.startswith("haystack"):
            store = InMemoryDocumentStore()
            store.write_documents([HaystackDocument(content="one", embedding=[0.5, 0.5])])
            return store
        return InMemoryVectorStore.from_texts(["one"], BGEEmbeddings(model=self.model("")))

    def _text_file(self) -> Path:
        (path := self._scratch / "texts.txt").write_text("one\ntwo\n")
        return path

    def _inputs(self, label: str) -> Any:
        return self._text_file()

    def _out(self, label: str) -> Any:
        return self._scratch / "out.npy"

    def _folder(self, label: str) -> Any:
        return self._scratch / "tiny"

    def _path(self, label: str) -> Any:
        if label == "FileSpec":
            return "model.onnx"
        if label != "read_parquet":
            return self._text_file()
        columns = {"text": ["one", "two"], "vector": [[1.0, 2.0], [3.0, 4.0]]}
        pyarrow.parquet.write_table(pyarrow.table(columns), path := self._scratch / "stored.parquet")
        return path

    def _source(self, label: str) -> Any:
        return self._path("read_parquet")

    def _place(self, label: str) -> Any:
        if (self._scratch / "qdrant").exists():
            return self._scratch / "qdrant"
        client = qdrant_client.QdrantClient(path=str(self._scratch / "qdrant"))
        with contextlib.closing(client):
            client.create_collection("one", VectorParams(size=2, distance=Distance.COSINE))
            client.upsert("one", [PointStruct(id=1, vector=[1.0, 2.0], payload={"text": "one"})])
        return self._scratch / "qdrant"


@pytest.mark.parametrize("target", _TARGETS, ids=lambda target: target.label)
def test_odd_arguments_are_right_or_refused(target: Target, models: Mapping[str, str], tmp_path: Path) -> None:
    given = Given(models, tmp_path)
    call: Callable[..., Any] = target.call
    if target.kind is not None:
        instance = given.instance(target.kind, target.label.partition(".")[0])
        call = getattr(instance, target.label.rpartition(".")[2])
    arguments = given.arguments(target)
    wrong = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert attempt(call, arguments) is None  # else nothing below says anything
        for name, hint in target.parameters.items():
            for label, make in ODD.items():
                value, shown = make(), make()
                error = attempt(call, {**given.arguments(target), name: value})
                problem = judge(error, name, shown, hint)
                if problem:
                    wrong.append(f"{target.label}({name}=<{label}>): {problem}")
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def attempt(call: Callable[..., Any], arguments: Mapping[str, Any]) -> BaseException | None:
    """What a call raises, once all that it answers has been read."""
    try:
        read(call(**arguments))
    except Exception as error:
        return error
    return None


def read(answer: Any) -> None:
    if inspect.iscoroutine(answer):
        read(asyncio.run(answer))
    elif isinstance(answer, AsyncIterator):
        asyncio.run(all_of(answer))
    elif isinstance(answer, Iterator):
        for _ in answer:
            pass
    elif hasattr(answer, "warm_up"):
        answer.warm_up()


async def all_of(answers: AsyncIterator[Any]) -> list[Any]:
    return [answer async for answer in answers]


def judge(error: BaseException | None, name: str, value: object, hint: Any) -> str:
    """What is wrong about an outcome; nothing if it is right."""
    if error is None:
        return "" if fits(value, hint) else f"taken, and it is not {hint}"
    try:
        message = str(error)
    except Exception as unprintable:
        return f"{type(error).__name__} that cannot be printed: {unprintable}"
    if isinstance(error, ValidationError):
        return "" if name in message else f"{message!r} does not name it"
    if message == BROKEN:  # the user's own error, which comes through
        return ""
    if not isinstance(error, BGEError):
        return f"{type(error).__name__}: {message[:200]}"
    if "\n" in message or len(message) > 1000:
        return f"a message of {len(message.splitlines())} lines and {len(message)} characters"
    return ""
