"""Vectors or scores of one class of another library, with its defaults, for `migration.py`.

One JSON request on stdin: {"peer": key of `EMBEDDERS` or `RERANKERS`, "model": name or folder, "documents": [...],
"queries": [...]} or {..., "query": text, "passages": [...]}. The answer, on stdout: {"documents": [[...]], "queries":
[[...]]} or {"scores": [...]} in the order of the input, and the versions of the distributions that took part.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any, TypeAlias

Vectors: TypeAlias = Any  # an array or lists; most libraries ship no types
Embed: TypeAlias = Callable[[list[str]], Vectors]


def _class(path: str) -> Any:  # noqa: ANN401  # a class of a library that is not installed here
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _each(embed: Callable[[str], Any]) -> Embed:
    return lambda texts: [embed(text) for text in texts]


def sentence_transformer(model: str) -> tuple[Embed, Embed]:
    found = _class("sentence_transformers.SentenceTransformer")(model, device="cpu")
    return found.encode_document, found.encode_query


def flag_model(model: str) -> tuple[Embed, Embed]:
    found = _class("FlagEmbedding.FlagModel")(model, devices=["cpu"])
    return found.encode_corpus, found.encode_queries


def flag_auto_model(model: str) -> tuple[Embed, Embed]:
    found = _class("FlagEmbedding.FlagAutoModel").from_finetuned(model, devices=["cpu"])
    return found.encode_corpus, found.encode_queries


def fastembed(model: str) -> tuple[Embed, Embed]:
    found = _class("fastembed.TextEmbedding")(model)
    return lambda texts: list(found.passage_embed(texts)), lambda texts: list(found.query_embed(texts))


def langchain(path: str) -> Callable[[str], tuple[Embed, Embed]]:
    def opened(model: str) -> tuple[Embed, Embed]:
        found = _class(path)(model_name=model)
        return found.embed_documents, _each(found.embed_query)

    return opened


def llama_index(path: str, argument: str = "model_name") -> Callable[[str], tuple[Embed, Embed]]:
    def opened(model: str) -> tuple[Embed, Embed]:
        found = _class(path)(**{argument: model})
        return found.get_text_embedding_batch, _each(found.get_query_embedding)

    return opened


def haystack(package: str, prefix: str) -> Callable[[str], tuple[Embed, Embed]]:
    def opened(model: str) -> tuple[Embed, Embed]:
        document = _class("haystack.Document")
        space = f"haystack_integrations.components.embedders.{package}.{prefix}"
        documents, queries = (
            _class(f"{space}DocumentEmbedder")(model=model),
            _class(f"{space}TextEmbedder")(model=model),
        )
        for component in (documents, queries):
            component.warm_up()

        def embed(texts: list[str]) -> Vectors:
            numbered = [document(content=text, id=str(place)) for place, text in enumerate(texts)]
            return [found.embedding for found in documents.run(documents=numbered)["documents"]]

        return embed, _each(lambda text: queries.run(text=text)["embedding"])

    return opened


EMBEDDERS: dict[str, Callable[[str], tuple[Embed, Embed]]] = {
    "sentence-transformers": sentence_transformer,
    "flagembedding": flag_model,
    "flagembedding-auto": flag_auto_model,
    "fastembed": fastembed,
    "langchain-huggingface": langchain("langchain_huggingface.HuggingFaceEmbeddings"),
    "langchain-bge": langchain("langchain_community.embeddings.HuggingFaceBgeEmbeddings"),
    "langchain-fastembed": langchain("langchain_community.embeddings.fastembed.FastEmbedEmbeddings"),
    "llamaindex-huggingface": llama_index("llama_index.embeddings.huggingface.HuggingFaceEmbedding"),
    "llamaindex-fastembed": llama_index("llama_index.embeddings.fastembed.FastEmbedEmbedding"),
    "llamaindex-optimum": llama_index("llama_index.embeddings.huggingface_optimum.OptimumEmbedding", "folder_name"),
    "haystack-sentence-transformers": haystack("sentence_transformers", "SentenceTransformers"),
    "haystack-fastembed": haystack("fastembed", "Fastembed"),
}


def flag_reranker(model: str, query: str, passages: Sequence[str]) -> list[float]:
    return _class("FlagEmbedding.FlagReranker")(model, devices=["cpu"]).compute_score([(query, it) for it in passages])


def cross_encoder(model: str, query: str, passages: Sequence[str]) -> list[float]:
    return _class("sentence_transformers.CrossEncoder")(model, device="cpu").predict([(query, it) for it in passages])


def fastembed_reranker(model: str, query: str, passages: Sequence[str]) -> list[float]:
    return list(_class("fastembed.rerank.cross_encoder.TextCrossEncoder")(model).rerank(query, passages))


def langchain_cross_encoder(model: str, query: str, passages: Sequence[str]) -> list[float]:
    found = _class("langchain_community.cross_encoders.HuggingFaceCrossEncoder")(model_name=model)
    return found.score([(query, it) for it in passages])


def llama_index_rerank(path: str, **settings: object) -> Callable[[str, str, Sequence[str]], list[float]]:
    def scores(model: str, query: str, passages: Sequence[str]) -> list[float]:
        schema = importlib.import_module("llama_index.core.schema")
        nodes = [schema.TextNode(text=text, id_=str(place)) for place, text in enumerate(passages)]
        ranker = _class(path)(model=model, top_n=len(passages), **settings)
        ranked = ranker.postprocess_nodes([schema.NodeWithScore(node=node) for node in nodes], query_str=query)
        found = {int(hit.node.id_): hit.score for hit in ranked}
        return [found[place] for place in range(len(passages))]

    return scores


def haystack_rank(package: str, name: str, **settings: object) -> Callable[[str, str, Sequence[str]], list[float]]:
    def scores(model: str, query: str, passages: Sequence[str]) -> list[float]:
        document = _class("haystack.Document")
        ranker_class = _class(f"haystack_integrations.components.rankers.{package}.{name}")
        ranker = ranker_class(
            top_k=len(passages), **{"model" if package != "fastembed" else "model_name": model}, **settings
        )
        ranker.warm_up()
        numbered = [document(content=text, id=str(place)) for place, text in enumerate(passages)]
        found = {int(hit.id): hit.score for hit in ranker.run(query=query, documents=numbered)["documents"]}
        return [found[place] for place in range(len(passages))]

    return scores


RERANKERS: dict[str, Callable[[str, str, Sequence[str]], Any]] = {
    "flagembedding-reranker": flag_reranker,
    "sentence-transformers-cross-encoder": cross_encoder,
    "fastembed-cross-encoder": fastembed_reranker,
    "langchain-cross-encoder": langchain_cross_encoder,
    "llamaindex-flag-reranker": llama_index_rerank(
        "llama_index.postprocessor.flag_embedding_reranker.FlagEmbeddingReranker", use_fp16=False
    ),
    "llamaindex-sbert-rerank": llama_index_rerank(
        "llama_index.postprocessor.sbert_rerank.SentenceTransformerRerank", device="cpu"
    ),
    "haystack-similarity-ranker": haystack_rank("sentence_transformers", "SentenceTransformersSimilarityRanker"),
    "haystack-fastembed-ranker": haystack_rank("fastembed", "FastembedRanker"),
}

_DISTRIBUTIONS = (
    "FlagEmbedding",
    "fastembed",
    "fastembed-haystack",
    "haystack-ai",
    "langchain-community",
    "langchain-huggingface",
    "llama-index-embeddings-fastembed",
    "llama-index-embeddings-huggingface",
    "llama-index-embeddings-huggingface-optimum",
    "llama-index-postprocessor-flag-embedding-reranker",
    "llama-index-postprocessor-sbert-rerank",
    "onnxruntime",
    "sentence-transformers",
    "sentence-transformers-haystack",
    "torch",
    "transformers",
)


def _versions() -> dict[str, str]:
    found = {}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _lists(vectors: Vectors) -> list[list[float]]:
    return [[float(value) for value in row] for row in vectors]


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not mix with the answer
    request = json.load(sys.stdin)
    if request["peer"] in EMBEDDERS:
        documents, queries = EMBEDDERS[request["peer"]](request["model"])
        answer: dict[str, Any] = {
            "documents": _lists(documents(request["documents"])),
            "queries": _lists(queries(request["queries"])),
        }
    else:
        scores = RERANKERS[request["peer"]](request["model"], request["query"], request["passages"])
        answer = {"scores": [float(score) for score in scores]}
    json.dump({**answer, "versions": _versions()}, answers)
    answers.close()
    # Some libraries hang or complain while the interpreter shuts down; everything there is to say has been said.
    os._exit(0)


if __name__ == "__main__":
    main()
