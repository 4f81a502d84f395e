"""Checkpoints that the real libraries saved, with the answers of those libraries; and those that must be refused."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_onnx import BGEError, Embedder, M3Embedder, Reranker

_ROOT = Path(os.environ.get("BGE_SHARED", Path(__file__).resolve().parents[3] / "shared")) / "reference" / "checkpoints"
_NOUNS = {"Embedder": Embedder, "Reranker": Reranker, "M3Embedder": M3Embedder}

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not _ROOT.is_dir(), reason=f"{_ROOT} is absent; set BGE_SHARED to the folder of references"),
]


@cache
def expected(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return found


def folders(*kinds: str) -> list[Any]:
    every = sorted(_ROOT.iterdir()) if _ROOT.is_dir() else []
    found = [path for path in every if path.is_dir() and expected(path)["kind"] in kinds]
    return [pytest.param(path, id=path.name) for path in found]


def assert_near(found: NDArray[Any], wanted: list[Any], tolerance: float) -> None:
    """Within a tolerance of the larger of 1 and the wanted number."""
    target = np.asarray(wanted)
    np.testing.assert_array_less(np.abs(found - target) / np.maximum(1, np.abs(target)), tolerance)


@pytest.mark.parametrize("folder", folders("embedder"))
def test_vectors_are_those_of_the_libraries(folder: Path) -> None:
    facts = expected(folder)
    embedder = Embedder(folder, truncate="silent", **facts["open"])
    assert embedder.max_length == facts["max_length"]
    tokens = embedder._parts.model.tokenizer.texts(facts["texts"], limit=embedder.max_length)
    assert [tokens.row(row).tolist() for row in range(len(facts["texts"]))] == facts["input_ids"]
    documents = embedder.embed_documents(facts["texts"])
    assert_near(documents, facts.get("document_normalized", facts["normalized"]), 1e-5)
    if "queries" in facts:
        assert_near(embedder.embed_queries(facts["queries"]), facts["query_normalized"], 1e-5)
    raw = facts.get("embeddings", None if facts.get("after_pooling") else facts["last_hidden_state_0"])
    if raw is not None and not facts["ends_normalized"]:
        plain = Embedder(folder, truncate="silent", normalize=False, **facts["open"])
        assert_near(plain.embed_documents(facts["texts"]), raw, 1e-5)


@pytest.mark.parametrize("folder", folders("embedder"))
def test_int8_made_from_a_checkpoint_is_near(folder: Path) -> None:
    facts = expected(folder)
    embedder = Embedder(folder, precision="int8", truncate="silent", **facts["open"])
    found = embedder.embed_documents(facts["texts"])
    wanted = np.array(facts.get("document_normalized", facts["normalized"]))
    assert (found * wanted).sum(axis=1).min() > 0.999
    assert "int8" in embedder.graph


@pytest.mark.parametrize("folder", folders("reranker"))
def test_logits_are_those_of_the_libraries(folder: Path) -> None:
    facts = expected(folder)
    pairs = [tuple(pair) for pair in facts["pairs"]]
    every = pairs + [tuple(pair) for pair in facts["long_pairs"]]
    assert_near(Reranker(folder, truncate="silent").score(pairs), facts["logits"], 2e-5)
    for length in (512, 64):
        reranker = Reranker(folder, max_length=length, truncate="silent")
        assert_near(reranker.score(every), facts[f"flag_max_length_{length}"], 2e-5)
    int8 = Reranker(folder, precision="int8", truncate="silent").score(every)
    assert np.corrcoef(int8, facts["flag_max_length_512"])[0, 1] > 0.99


@pytest.mark.parametrize("folder", folders("m3"))
def test_all_heads_of_m3_answer_like_the_library(folder: Path) -> None:
    facts = expected(folder)
    output = M3Embedder(folder, truncate="silent").encode(facts["texts"], colbert=True)
    assert output.dense is not None
    assert output.lexical is not None
    assert output.colbert is not None
    assert_near(output.dense, facts["dense"], 1e-5)
    for found, wanted in zip(output.lexical, facts["lexical_weights"], strict=True):
        weights = {int(token): weight for token, weight in wanted.items()}
        assert set(found.as_dict()) == set(weights)
        assert_near(np.array([found.as_dict()[token] for token in weights]), list(weights.values()), 2e-5)
    for vectors, wanted in zip(output.colbert, facts["colbert"], strict=True):
        assert list(vectors.shape) == wanted["shape"]
        assert_near(vectors[: len(wanted["first"])], wanted["first"], 1e-5)
        assert_near(vectors[-1], np.ravel(wanted["last"]).tolist(), 1e-5)
    M3Embedder(folder, precision="int8", truncate="silent").encode(facts["texts"])


@pytest.mark.parametrize("folder", folders("refuse"))
def test_what_cannot_be_served_is_refused_by_name(folder: Path) -> None:
    facts = expected(folder)
    marker = Path(facts["marker"]) if "marker" in facts else None
    assert marker is None or not marker.exists()
    for noun in facts["opens"]:
        with pytest.raises(BGEError) as raised:
            _NOUNS[noun](folder, **facts.get("open", {}))
        message = str(raised.value).replace(str(_ROOT), "").replace(folder.name, "")
        assert "\n" not in message
        names = facts.get("names", [])
        assert not names or any(name in message for name in names)
    assert marker is None or not marker.exists()
