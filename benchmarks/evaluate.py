"""Our scores beside the published ones: every task, fp32 and int8, and SciFact through each framework's own retriever.

    python benchmarks/evaluate.py                        # the small English and Chinese models
    python benchmarks/evaluate.py --english BAAI/bge-base-en-v1.5 --precisions fp32

The data is that of `BGE_SHARED`, or `--data`; nothing is downloaded but the weights. Vectors are kept in `--work`, so
that a second run is quick.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from _machine import describe
from bge_onnx import Embedder, ModelSpec
from bge_onnx.evaluation.scores import Score, data_folder, evaluate, ndcg_at_10, search
from bge_onnx.evaluation.tasks import TASKS, Retrieval

_ROOT = Path(__file__).resolve().parents[1]
_RESULTS = _ROOT / "benchmarks" / "results" / "evaluation"
_ENGLISH_TASKS = ("stsbenchmark", "scifact", "xquad-en")
_CHINESE_TASKS = ("cmteb-stsb", "xquad-zh")
_DEPTH = 10
_PROOF = 16  # documents whose vectors are made by the adapter too

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A score, and what it was retrieved through."""

    through: str
    score: Score


class Kept:
    """An embedder whose vectors of documents are kept in a folder."""

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        self._embedder = embedder
        self._folder = folder

    @property
    def spec(self) -> ModelSpec:
        return self._embedder.spec

    def embed_documents(self, texts: Iterable[str]) -> Vectors:
        listed = list(texts)
        state = json.dumps([self._embedder.fingerprint, listed])
        path = self._folder / f"{hashlib.sha256(state.encode()).hexdigest()[:24]}.npy"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            np.save(path, self._embedder.embed_documents(listed))
        vectors: Vectors = np.load(path)
        return vectors

    def embed_queries(self, queries: Iterable[str]) -> Vectors:
        return self._embedder.embed_queries(queries)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="the folder of evaluation data")
    parser.add_argument("--work", type=Path, default=_ROOT / ".bench" / "evaluation", help="where vectors are kept")
    parser.add_argument("--english", default="BAAI/bge-small-en-v1.5", help="model of the English tasks")
    parser.add_argument("--chinese", default="BAAI/bge-small-zh-v1.5", help="model of the Chinese tasks")
    parser.add_argument("--precisions", nargs="*", default=["fp32", "int8"])
    parser.add_argument("--frameworks", nargs="*", default=list(RETRIEVERS), choices=list(RETRIEVERS))
    parser.add_argument("--results", type=Path, default=_RESULTS)
    arguments = parser.parse_args()
    rows: list[Row] = []
    for row in _rows(arguments, data_folder(arguments.data)):
        print(f"{row.through}: {row.score}", flush=True)
        rows.append(row)
        _write(rows, arguments.results)  # after each, since a whole run takes half an hour
    failed = [row for row in rows if row.score.as_published is False and row.score.precision == "fp32"]
    if failed:
        raise SystemExit(f"{len(failed)} fp32 scores are not the published ones")


def _rows(arguments: argparse.Namespace, data: Path) -> Iterator[Row]:
    for precision in arguments.precisions:
        for model, tasks in ((arguments.english, _ENGLISH_TASKS), (arguments.chinese, _CHINESE_TASKS)):
            kept = Kept(Embedder(model, precision=precision, truncate="silent"), arguments.work)
            for task in tasks:
                yield Row(through="core", score=evaluate(task, kept, precision=precision, data=data))
    kept = Kept(Embedder(arguments.english, truncate="silent"), arguments.work)
    for name in arguments.frameworks:
        yield Row(through=name, score=_framework(name, kept, data))


def _framework(name: str, kept: Kept, data: Path) -> Score:
    """SciFact through a framework's retriever; the vectors of documents are the core's, which the adapter's equal."""
    task = TASKS["scifact"]
    loaded = task.load(data)
    assert isinstance(loaded, Retrieval)
    vectors = kept.embed_documents(loaded.documents.values())
    rank = RETRIEVERS[name](kept.spec.name, loaded, vectors)
    return Score(
        task=task.title,
        model=kept.spec.name,
        precision="fp32",
        metric="nDCG@10",
        value=ndcg_at_10(search(loaded, rank), loaded.relevant),
        published=task.published.get(kept.spec.name),
        tolerance=task.tolerance,
    )


def _prove(made: Sequence[Sequence[float]], vectors: Vectors) -> None:
    np.testing.assert_allclose(np.asarray(made, dtype=np.float32), vectors[:_PROOF], rtol=0, atol=1e-6)


def _langchain(model: str, loaded: Retrieval, vectors: Vectors) -> Callable[[str], Sequence[str]]:
    from langchain_core.embeddings import Embeddings
    from langchain_core.vectorstores import InMemoryVectorStore

    from langchain_bge import BGEEmbeddings

    adapter = BGEEmbeddings(model=model, truncate="silent")
    texts = list(loaded.documents.values())
    _prove(adapter.embed_documents(texts[:_PROOF]), vectors)
    known = dict(zip(texts, vectors.tolist(), strict=True))

    class Known(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [known[text] for text in texts]

        def embed_query(self, text: str) -> list[float]:
            return adapter.embed_query(text)

    store = InMemoryVectorStore(Known())
    store.add_texts(texts, ids=list(loaded.documents))
    retriever = store.as_retriever(search_kwargs={"k": _DEPTH})
    return lambda query: [str(hit.id) for hit in retriever.invoke(query)]


def _llamaindex(model: str, loaded: Retrieval, vectors: Vectors) -> Callable[[str], Sequence[str]]:
    from llama_index.core import VectorStoreIndex
    from llama_index.core.schema import TextNode

    from llama_index.embeddings.bge import BGEEmbedding

    adapter = BGEEmbedding(model_name=model, truncate="silent")
    texts = list(loaded.documents.items())
    _prove(adapter.get_text_embedding_batch([text for _, text in texts[:_PROOF]]), vectors)
    nodes = [
        TextNode(id_=name, text=text, embedding=vector)
        for (name, text), vector in zip(texts, vectors.tolist(), strict=True)
    ]
    retriever = VectorStoreIndex(nodes, embed_model=adapter).as_retriever(similarity_top_k=_DEPTH)
    return lambda query: [hit.node.node_id for hit in retriever.retrieve(query)]


def _haystack(model: str, loaded: Retrieval, vectors: Vectors) -> Callable[[str], Sequence[str]]:
    from haystack import Document, Pipeline
    from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    from haystack_integrations.components.embedders.bge import BGEDocumentEmbedder, BGETextEmbedder

    documents = [
        Document(id=name, content=text, embedding=vector)
        for (name, text), vector in zip(loaded.documents.items(), vectors.tolist(), strict=True)
    ]
    adapter = BGEDocumentEmbedder(model=model, truncate="silent")
    adapter.warm_up()
    bare = [Document(id=document.id, content=document.content) for document in documents[:_PROOF]]
    _prove([document.embedding or [] for document in adapter.run(documents=bare)["documents"]], vectors)
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    store.write_documents(documents)
    pipeline = Pipeline()
    pipeline.add_component("embedder", BGETextEmbedder(model=model, truncate="silent"))
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=_DEPTH))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")

    def rank(query: str) -> Sequence[str]:
        found: dict[str, Any] = pipeline.run({"embedder": {"text": query}})
        return [hit.id for hit in found["retriever"]["documents"]]

    return rank


RETRIEVERS: dict[str, Callable[[str, Retrieval, Vectors], Callable[[str], Sequence[str]]]] = {
    "langchain": _langchain,
    "llamaindex": _llamaindex,
    "haystack": _haystack,
}


def _write(rows: Sequence[Row], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = [{"through": row.through, **row.score.as_dict()} for row in rows]
    (folder / "results.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    machine = describe()
    lines = [
        "# Scores",
        "",
        f"`make eval` on {machine['cpu']}. Published: see the files of `bge_onnx.evaluation.tasks`.",
        "",
        "| task | metric | model | precision | through | ours | published |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        score = row.score
        published = "" if score.published is None else f"{score.published:.2f}"
        name = score.model.rpartition("/")[2]
        cells = [score.task, score.metric, name, score.precision, row.through, f"{score.value:.2f}", published]
        lines.append(f"| {' | '.join(cells)} |")
    (folder / "results.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
