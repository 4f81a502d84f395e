"""`check_index` names the recipe of vectors that other libraries made, with their defaults and the real weights.

`benchmarks/migration.py` made them; `data/peer_vectors.json` holds the texts and the versions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_onnx import Embedder
from bge_onnx.evaluation import Verdict, check_index
from bge_onnx.types import Pooling

pytestmark = pytest.mark.weights

INSTRUCTION = "Represent this sentence for searching relevant passages: "
QUESTION = "Represent this question for searching relevant passages: "
_DATA = Path(__file__).parent / "data"
# Texts over 256 tokens are many seconds of work; every fifth document has all there is to find.
_STEP = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    prefix: str = ""
    pooling: Pooling = "cls"
    length: str = "one"
    documents: Verdict = "keep"
    queries: Verdict = "queries-change"


_PLAIN = Expected()
_QUESTION = Expected(prefix=QUESTION)
# A folder without sentence-transformers' files is mean-pooled, and nothing normalises.
_BARE = {"pooling": "mean", "length": "raw", "documents": "re-embed", "queries": "re-embed"}
PEERS = {
    "sentence-transformers, name": _PLAIN,
    "sentence-transformers, bare folder": Expected(**_BARE),  # type: ignore[arg-type]
    "flagembedding, name": _PLAIN,
    "flagembedding-auto, name": _PLAIN,
    "fastembed, name": _PLAIN,
    "langchain-bge, name": _QUESTION,
    "langchain-bge, bare folder": Expected(prefix=QUESTION, **_BARE),  # type: ignore[arg-type]
    "langchain-huggingface, name": _PLAIN,
    "langchain-huggingface, bare folder": Expected(**_BARE),  # type: ignore[arg-type]
    "langchain-fastembed, name": _PLAIN,
    "llamaindex-huggingface, name": _QUESTION,
    "llamaindex-huggingface, folder": _PLAIN,
    "llamaindex-huggingface, bare folder": Expected(**{**_BARE, "length": "one"}),  # type: ignore[arg-type]
    "llamaindex-fastembed, name": _PLAIN,
    "llamaindex-optimum, folder": _PLAIN,
    "haystack-sentence-transformers, name": _PLAIN,
    "haystack-sentence-transformers, bare folder": Expected(**_BARE),  # type: ignore[arg-type]
    "haystack-fastembed, name": _PLAIN,
}


@pytest.fixture(scope="module", autouse=True)
def _held(small_en: str) -> Iterator[None]:
    """Keeps the engines of both poolings open between the tests."""
    with Embedder(small_en), Embedder(small_en, pooling="mean"):
        yield


@pytest.fixture(scope="module")
def about() -> dict[str, Any]:
    about: dict[str, Any] = json.loads((_DATA / "peer_vectors.json").read_text(encoding="utf-8"))
    return about


@pytest.fixture(scope="module")
def vectors() -> dict[str, NDArray[np.float16]]:
    with np.load(_DATA / "peer_vectors.npz") as file:
        return dict(file)


def test_every_stored_peer_is_expected(about: dict[str, Any], vectors: dict[str, NDArray[np.float16]]) -> None:
    assert set(about["versions"]) == set(PEERS)
    assert set(vectors) == {f"{name}, {role}" for name in PEERS for role in ("documents", "queries")}


@pytest.mark.parametrize("name", PEERS)
def test_the_recipe_of_its_queries_is_found(
    small_en: str, about: dict[str, Any], vectors: dict[str, NDArray[np.float16]], name: str
) -> None:
    report = check_index(small_en, about["queries"], vectors[f"{name}, queries"], role="query")
    (part,) = report.parts
    expected = PEERS[name]
    found = (part.recipe.prefix, part.recipe.pooling, part.length, report.verdict)
    assert found == (expected.prefix, expected.pooling, expected.length, expected.queries)
    assert part.same
    assert report.unexplained == ()


@pytest.mark.parametrize("name", PEERS)
def test_the_recipe_of_its_documents_is_found(
    small_en: str, about: dict[str, Any], vectors: dict[str, NDArray[np.float16]], name: str
) -> None:
    report = check_index(small_en, about["documents"][::_STEP], vectors[f"{name}, documents"][::_STEP])
    (part,) = report.parts
    expected = PEERS[name]
    found = (part.recipe.prefix, part.recipe.pooling, part.length, report.verdict)
    assert found == ("", expected.pooling, expected.length, expected.documents)
    assert part.same
    assert report.unexplained == ()


def test_the_vectors_of_a_model_from_another_family_are_nobodys(
    small_en: str, about: dict[str, Any], vectors: dict[str, NDArray[np.float16]]
) -> None:
    queries = about["queries"]
    turned, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((384, 384)))  # as alike to each other as before
    report = check_index(
        small_en, queries, vectors["fastembed, name, queries"].astype(np.float32) @ turned, role="query"
    )
    assert report.parts == ()
    assert report.verdict == "re-embed"
    assert "made by none of" in str(report)


def test_int8_vectors_are_near_and_their_precision_is_found(small_en: str, about: dict[str, Any]) -> None:
    with Embedder(small_en, precision="int8") as embedder:
        stored = embedder.embed_documents(about["documents"][:24])
    report = check_index(small_en, about["documents"][:24], stored)
    assert report.parts[0].recipe.precision == "int8"
    assert report.verdict == "keep"
    assert "precision='int8'" in report.advice
