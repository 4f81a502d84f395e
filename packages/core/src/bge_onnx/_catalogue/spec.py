"""What one BGE model is: frozen facts, known to every other room and knowing none of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Precision: TypeAlias = Literal["fp32", "bf16", "fp16", "int8", "int8-dynamic"]
Pooling: TypeAlias = Literal["cls", "mean"]
Task: TypeAlias = Literal["embedding", "reranking"]
Head: TypeAlias = Literal["dense", "lexical", "colbert", "logit"]
FileRole: TypeAlias = Literal[
    "model", "data", "tokenizer", "sparse_linear", "colbert_linear", "config", "facts", "base", "dense"
]

# Nobody publishes these: they are made of the float32 weights.
MADE_HERE: frozenset[Precision] = frozenset({"bf16", "int8"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSpec:
    """One file of a model.

    Attributes:
        path: Where the file lies in its repository, with forward slashes.
        role: What the engine reads it for; "data" is external tensor data that the ONNX file refers to, or a shard of
            a checkpoint, and "config" one of the small files that a checkpoint is read with.
        size: Bytes, or None where no public source states them.
        sha256: Lower-case hexadecimal digest, or None where no public source states it.
    """

    path: str
    role: FileRole
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MavenArtifact:
    """A jar in a Maven repository that carries a model's files.

    Attributes:
        group: Maven group id.
        artifact: Maven artifact id.
        version: Maven version.
        members: Pairs of (`FileSpec.path`, name of the jar member that holds the same bytes).
        files: The files of the jar, where they are another form of the weights than the hub repository holds; empty
            if they are `WeightsSpec.files`.
    """

    group: str
    artifact: str
    version: str
    members: tuple[tuple[str, str], ...]
    files: tuple[FileSpec, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsSpec:
    """Where the bytes of one precision come from.

    Attributes:
        precision: The number format of the file as published.
        repository: Hugging Face hub repository, "owner/name".
        revision: The pinned commit, or "main" where none is pinned.
        files: Every file that must be present, the "model" and the "tokenizer" always among them. Empty: the
            repository is asked what it holds, and a checkpoint goes before a graph.
        maven: The same model in a Maven repository, where there is such an artefact.
    """

    precision: Precision
    repository: str
    revision: str
    files: tuple[FileSpec, ...] = ()
    maven: MavenArtifact | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Everything that must be known about a BGE model to use it right.

    Attributes:
        name: Hub id, "BAAI/bge-small-en-v1.5".
        task: "embedding" or "reranking".
        dimension: Components of a dense vector; 1 for a reranker.
        max_tokens: The longest input, special tokens included.
        pooling: How token outputs become one vector.
        query_instruction: Put before every query, byte for byte; "" for none.
        passage_instruction: Put before every passage, byte for byte; "" for none.
        heads: What the model can answer with.
        parameters: Number of parameters, or None where unknown.
        license: SPDX identifier, or "" where unknown.
        languages: ISO 639-1 codes, or ("multilingual",).
        weights: One entry per published precision. Empty: whatever the hub repository called `name` holds on its
            branch main.
    """

    name: str
    dimension: int
    query_instruction: str
    task: Task = "embedding"
    max_tokens: int = 512
    pooling: Pooling = "cls"
    passage_instruction: str = ""
    heads: tuple[Head, ...] = ("dense",)
    parameters: int | None = None
    license: str = ""
    languages: tuple[str, ...] = ()
    weights: tuple[WeightsSpec, ...] = ()
