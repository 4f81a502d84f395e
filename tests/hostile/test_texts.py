"""Any text through every noun: the vectors of the plain text, in bounded memory, whatever it is made of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bge_onnx import Embedder, M3Embedder, Reranker, TokenSplitter
from bge_onnx._heads.memory import Memory
from bge_onnx.errors import UnsuitableModelError
from bge_onnx.testing import write_tiny_model
from tests.core.nasty_texts import nasty_texts
from tests.hostile.odd_values import NastyText

_texts = st.lists(st.one_of(nasty_texts, st.text(st.characters(exclude_categories=["Cs"]), max_size=40)), max_size=5)
_settings = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


@_settings
@given(texts=_texts)
def test_any_texts_have_vectors_of_their_own(tiny_embedder: Path, texts: list[str]) -> None:
    with Embedder(tiny_embedder, truncate="silent") as embedder:
        together = embedder.embed_documents(texts)
        assert together.shape == (len(texts), 32)
        assert np.isfinite(together).all()
        for text, vector in zip(texts, together, strict=True):
            np.testing.assert_allclose(embedder.embed_documents([text])[0], vector, rtol=0, atol=2e-5)
            np.testing.assert_array_equal(embedder.embed_documents([NastyText(text)]), embedder.embed_documents([text]))


@_settings
@given(texts=_texts)
def test_any_texts_are_read_by_all_heads(tiny_m3: Path, texts: list[str]) -> None:
    with M3Embedder(tiny_m3, truncate="silent") as embedder:
        plain = embedder.encode(texts, colbert=True)
        nasty = embedder.encode([NastyText(text) for text in texts], colbert=True)
    for one, other in zip(plain.lexical or [], nasty.lexical or [], strict=True):
        assert one.as_dict() == other.as_dict()
    assert [vectors.shape for vectors in plain.colbert or []] == [vectors.shape for vectors in nasty.colbert or []]


@_settings
@given(query=nasty_texts, passages=_texts)
def test_any_passages_are_ranked(tiny_reranker: Path, query: str, passages: list[str]) -> None:
    with Reranker(tiny_reranker, truncate="silent") as reranker:
        ranked = reranker.rank(query, passages)
        assert sorted(passage.index for passage in ranked) == list(range(len(passages)))
        again = reranker.rank(NastyText(query), [NastyText(passage) for passage in passages])
    assert [passage.logit for passage in ranked] == [passage.logit for passage in again]


@_settings
@given(text=nasty_texts, overlap=st.integers(0, 4))
def test_any_text_is_covered_by_its_parts(tiny_embedder: Path, text: str, overlap: int) -> None:
    parts = TokenSplitter(tiny_embedder, max_tokens=8, overlap=overlap).split(text)
    end = 0
    for part in parts:
        assert part.text == text[part.start : part.end]
        assert part.start <= end < part.end
        end = part.end
    assert end == len(text)


# Bytes beyond what an open model takes. Read whole, some of the texts below would need more, and the tokeniser ends the
# process where memory ends, so nobody could catch that.
_ROOM = 350 << 20
_HUGE = """
import resource, sys, warnings
warnings.simplefilter("ignore")
from bge_onnx import Embedder, Reranker
kind, folder, room = sys.argv[1:]
units = {"dots": ".", "one word": "a", "blanks": " ", "ideographs": "机器", "accents": "e\u0301", "words": "the house "}
opened = {"embedder": Embedder, "reranker": Reranker}[kind](folder, truncate="silent", threads=1)
opened.score([("a", "b")]) if kind == "reranker" else opened.embed_documents(["a"])
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + int(room),) * 2)
for name, unit in units.items():
    text = unit * (1_000_000 // len(unit))
    opened.score([("a", text)]) if kind == "reranker" else opened.embed_documents([text])
    print(name, flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="limits and sizes are read the way Linux has them")
@pytest.mark.parametrize("kind", ["embedder", "reranker"])
def test_a_huge_text_neither_ends_the_process_nor_fills_the_memory(kind: str, tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / kind, kind=kind, layers=1)  # type: ignore[arg-type]  # it is one of the kinds
    done = subprocess.run(
        [sys.executable, "-c", _HUGE, kind, folder, str(_ROOM)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout.count("\n")) == (0, 6), done.stdout + done.stderr


class _Large:
    nbytes = 1 << 20


def test_what_is_remembered_is_bounded_in_bytes() -> None:
    memory: Memory[int, _Large] = Memory()
    for number in range(300):
        memory.keep({number: (_Large(), 0)}, most=1_000_000)
    held = memory.recall(range(300))
    assert 299 in held
    assert sum(answer.nbytes for answer, _ in held.values()) <= 64 << 20


_DOUBLE = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
_PAGE = {"type": "Replace", "pattern": {"Regex": "."}, "content": "x" * 5000}


@pytest.mark.parametrize(
    "part",
    [
        {"normalizer": {"type": "Sequence", "normalizers": [_DOUBLE] * 30}},
        {"normalizer": _PAGE},
        {"normalizer": {"type": "Prepend", "prepend": "x" * 100_000}},
        {"decoder": {"type": "Sequence", "decoders": [_DOUBLE] * 30}},
    ],
    ids=["thirty that double", "a page a letter", "a long beginning", "decoders"],
)
def test_a_tokenizer_that_blows_texts_up_is_refused(tmp_path: Path, part: dict[str, object]) -> None:
    folder = write_tiny_model(tmp_path / "model", layers=1)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **part}))
    with pytest.raises(UnsuitableModelError, match="times as long"):
        Embedder(folder)
