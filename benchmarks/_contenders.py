"""Who is measured: a worker script, the environment it runs in, and its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from peers import OURS

YARDSTICK = "bare"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One row of the tables.

    Attributes:
        key: Name on the command line and in the results.
        label: Name in tables and plots.
        environment: `peers.OURS` or the stem of a file in `requirements/`.
        worker: Script in `workers/`.
        sections: The measurements it takes part in.
        options: What its worker is told.
    """

    key: str
    label: str
    environment: str
    worker: str
    sections: frozenset[str]
    options: Mapping[str, Any] = field(default_factory=dict)


_EMBEDDER = frozenset({"embed", "latency", "cold", "memory", "growth"})
_EVERYTHING = _EMBEDDER | {"rerank"}

CONTENDERS: tuple[Contender, ...] = (
    Contender(
        key="ours",
        label="bge-onnx fp32",
        environment=OURS,
        worker="ours.py",
        sections=_EVERYTHING,
        options={"precision": "fp32"},
    ),
    Contender(
        key="ours-int8",
        label="bge-onnx int8",
        environment=OURS,
        worker="ours.py",
        sections=_EVERYTHING,
        options={"precision": "int8"},
    ),
    Contender(
        key="fastembed",
        label="FastEmbed",
        environment="fastembed",
        worker="peer_fastembed.py",
        sections=_EVERYTHING,
    ),
    Contender(
        key="fastembed-32",
        label="FastEmbed, batch 32",
        environment="fastembed",
        worker="peer_fastembed.py",
        sections=frozenset({"embed", "memory"}),
        options={"batch_size": 32},
    ),
    Contender(
        key="st",
        label="sentence-transformers",
        environment="sentence-transformers",
        worker="peer_sentence_transformers.py",
        sections=_EVERYTHING,
    ),
    Contender(
        key="st-onnx",
        label="sentence-transformers, ONNX",
        environment="sentence-transformers-onnx",
        worker="peer_sentence_transformers.py",
        sections=_EVERYTHING,
        options={"backend": "onnx"},
    ),
    Contender(
        key="flag",
        label="FlagEmbedding",
        environment="flagembedding",
        worker="peer_flagembedding.py",
        sections=_EVERYTHING,
    ),
    Contender(
        key=YARDSTICK,
        label="ONNX Runtime, one by one",
        environment=OURS,
        worker="bare_onnxruntime.py",
        sections=frozenset({"latency", "cold"}),
    ),
)
