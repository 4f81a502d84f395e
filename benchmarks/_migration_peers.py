"""The classes that `migration.py` runs: what they are called, where they live, and which README speaks of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Framework: TypeAlias = Literal["langchain", "llamaindex", "haystack", "none"]
# How a model is handed over: by its hub name; as a folder; as a folder that lacks sentence-transformers' files.
Given: TypeAlias = Literal["name", "folder", "bare folder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One class of another library.

    Attributes:
        key: Its key in `workers/peer_classes.py`.
        label: What its users call it.
        framework: Whose README speaks of it; "none" for a library of its own.
        environment: Stem of a file in `requirements/`.
        distribution: The distribution that holds the class.
        successor: What replaces it here.
        given: The ways to name a model that are compared.
        by_language: Whether it treats Chinese models otherwise, so that both languages are compared.
        note: What else changes, beside the numbers.
    """

    key: str
    label: str
    framework: Framework
    environment: str
    distribution: str
    successor: str
    given: tuple[Given, ...] = ("name",)
    by_language: bool = False
    note: str = ""


_TORCH, _FASTEMBED, _TRANSFORMERS4 = "migration-torch", "migration-fastembed", "migration-transformers4"
_FASTEMBED_FILE = "On the same weights; FastEmbed fetches a file of its own for these models, so ask `check_index`."

EMBEDDERS = (
    Peer(
        key="sentence-transformers",
        label="`SentenceTransformer`",
        framework="none",
        environment=_TORCH,
        distribution="sentence-transformers",
        successor="`Embedder`",
        given=("name", "bare folder"),
    ),
    Peer(
        key="flagembedding",
        label="`FlagModel`",
        framework="none",
        environment=_TORCH,
        distribution="FlagEmbedding",
        successor="`Embedder`",
        note="`query_instruction_for_retrieval` becomes `query_instruction`, and is filled in.",
    ),
    Peer(
        key="flagembedding-auto",
        label="`FlagAutoModel`",
        framework="none",
        environment=_TORCH,
        distribution="FlagEmbedding",
        successor="`Embedder`",
    ),
    Peer(
        key="fastembed",
        label="`TextEmbedding`",
        framework="none",
        environment=_FASTEMBED,
        distribution="fastembed",
        successor="`Embedder`",
        note=_FASTEMBED_FILE,
    ),
    Peer(
        key="langchain-bge",
        label="`HuggingFaceBgeEmbeddings`",
        framework="langchain",
        environment=_TORCH,
        distribution="langchain-community",
        successor="`BGEEmbeddings`",
        given=("name", "bare folder"),
        by_language=True,
    ),
    Peer(
        key="langchain-huggingface",
        label="`HuggingFaceEmbeddings`",
        framework="langchain",
        environment=_TORCH,
        distribution="langchain-huggingface",
        successor="`BGEEmbeddings`",
        given=("name", "bare folder"),
        note="Its `query_encode_kwargs` replaced `encode_kwargs`; here one setting holds for both.",
    ),
    Peer(
        key="langchain-fastembed",
        label="`FastEmbedEmbeddings`",
        framework="langchain",
        environment=_FASTEMBED,
        distribution="langchain-community",
        successor="`BGEEmbeddings`",
        note=_FASTEMBED_FILE,
    ),
    Peer(
        key="llamaindex-huggingface",
        label="`HuggingFaceEmbedding`",
        framework="llamaindex",
        environment=_TORCH,
        distribution="llama-index-embeddings-huggingface",
        successor="`BGEEmbedding`",
        given=("name", "folder", "bare folder"),
        by_language=True,
    ),
    Peer(
        key="llamaindex-fastembed",
        label="`FastEmbedEmbedding`",
        framework="llamaindex",
        environment=_FASTEMBED,
        distribution="llama-index-embeddings-fastembed",
        successor="`BGEEmbedding`",
        note=_FASTEMBED_FILE,
    ),
    Peer(
        key="llamaindex-optimum",
        label="`OptimumEmbedding`",
        framework="llamaindex",
        environment=_TRANSFORMERS4,
        distribution="llama-index-embeddings-huggingface-optimum",
        successor="`BGEEmbedding`",
        given=("folder",),
    ),
    Peer(
        key="haystack-sentence-transformers",
        label="`SentenceTransformersTextEmbedder`, `...DocumentEmbedder`",
        framework="haystack",
        environment=_TORCH,
        distribution="sentence-transformers-haystack",
        successor="`BGETextEmbedder`, `BGEDocumentEmbedder`",
        given=("name", "bare folder"),
        note="`prefix` goes, `query_instruction` replaces it; `batch_size` goes; `device` becomes `providers`.",
    ),
    Peer(
        key="haystack-fastembed",
        label="`FastembedTextEmbedder`, `...DocumentEmbedder`",
        framework="haystack",
        environment=_FASTEMBED,
        distribution="fastembed-haystack",
        successor="`BGETextEmbedder`, `BGEDocumentEmbedder`",
        note=f"{_FASTEMBED_FILE} `prefix` goes, `query_instruction` replaces it.",
    ),
)

RERANKERS = (
    Peer(
        key="flagembedding-reranker",
        label="`FlagReranker`",
        framework="none",
        environment=_TRANSFORMERS4,
        distribution="FlagEmbedding",
        successor="`Reranker`",
    ),
    Peer(
        key="sentence-transformers-cross-encoder",
        label="`CrossEncoder`",
        framework="none",
        environment=_TORCH,
        distribution="sentence-transformers",
        successor="`Reranker`",
    ),
    Peer(
        key="fastembed-cross-encoder",
        label="`TextCrossEncoder`",
        framework="none",
        environment=_FASTEMBED,
        distribution="fastembed",
        successor="`Reranker`",
    ),
    Peer(
        key="langchain-cross-encoder",
        label="`HuggingFaceCrossEncoder`",
        framework="langchain",
        environment=_TORCH,
        distribution="langchain-community",
        successor="`BGECrossEncoder`",
        note="In a `CrossEncoderReranker` or a `BGEReranker`; the latter leaves the score with the document.",
    ),
    Peer(
        key="llamaindex-flag-reranker",
        label="`FlagEmbeddingReranker`",
        framework="llamaindex",
        environment=_TRANSFORMERS4,
        distribution="llama-index-postprocessor-flag-embedding-reranker",
        successor="`BGERerank`",
        note="Nodes passed in are no longer changed.",
    ),
    Peer(
        key="llamaindex-sbert-rerank",
        label="`SentenceTransformerRerank`",
        framework="llamaindex",
        environment=_TORCH,
        distribution="llama-index-postprocessor-sbert-rerank",
        successor="`BGERerank`",
    ),
    Peer(
        key="haystack-similarity-ranker",
        label="`SentenceTransformersSimilarityRanker`",
        framework="haystack",
        environment=_TORCH,
        distribution="sentence-transformers-haystack",
        successor="`BGERanker`",
    ),
    Peer(
        key="haystack-fastembed-ranker",
        label="`FastembedRanker`",
        framework="haystack",
        environment=_FASTEMBED,
        distribution="fastembed-haystack",
        successor="`BGERanker`",
        note="`model_name` becomes `model`, `meta_data_separator` `embedding_separator`; duplicates are removed.",
    ),
)
