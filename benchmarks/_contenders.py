"""Who is measured: a worker script, the environment it runs in, and its arguments.

Rows called "tuned" have small batches of like length, which earlier trials found best; `sweep.py` tries others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from peers import OURS

YARDSTICK = "bare"
DEFAULTS = "defaults"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One row of the tables.

    Attributes:
        key: Name on the command line and in the results.
        label: Name in tables and plots.
        settings: What differs from the library's defaults, for people.
        environment: `peers.OURS` or the stem of a file in `requirements/`.
        worker: Script in `workers/`.
        sections: The measurements it takes part in.
        options: What its worker is told.
        single: What its worker is told instead where inputs come one at a time, if that suits better.
    """

    key: str
    label: str
    settings: str = DEFAULTS
    environment: str
    worker: str
    sections: frozenset[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    single: Mapping[str, Any] | None = None


_EMBEDDER = frozenset({"embed", "latency", "cold", "memory", "growth", "accuracy", "affinity", "long"})
_EVERYTHING = _EMBEDDER | {"rerank"}
_BATCH = frozenset({"embed", "memory", "accuracy"})
_CALLERS = frozenset({"callers"})


def _ours(key: str, label: str, **more: Any) -> Contender:  # noqa: ANN401
    return Contender(key=key, label=label, environment=OURS, worker="ours.py", **{"sections": _EVERYTHING, **more})


def _peer(library: str, key: str, label: str, **more: Any) -> Contender:  # noqa: ANN401
    worker = f"peer_{library.partition('-onnx')[0].replace('-', '_')}.py"
    return Contender(key=key, label=label, environment=library, worker=worker, **{"sections": _EVERYTHING, **more})


def _openvino(key: str, label: str, kind: str, precision: str, **more: Any) -> Contender:  # noqa: ANN401
    """OpenVINO with two streams for many texts, and with all cores for one text where queries come alone."""
    common = {"INFERENCE_PRECISION_HINT": precision}
    # Shapes that were not seen before are dear with static scales alone.
    multiple = {"multiple": 16} if kind == "int8-static" else {}
    many = {"kind": kind, "budget": 512, **multiple, "config": {**common, "PERFORMANCE_HINT": "THROUGHPUT"}}
    one = {"kind": kind, "config": {**common, "PERFORMANCE_HINT": "LATENCY"}}
    rounded = ", from 64 tokens on multiples of 16" if multiple else ""
    settings = f"sorted, 512 padded tokens a batch{rounded}, hint THROUGHPUT; single query: hint LATENCY"
    return _peer("openvino", key, label, options=many, single=one, settings=settings, **more)


def _ctranslate2(key: str, label: str, compute_type: str, budget: int) -> Contender:
    many = {"compute_type": compute_type, "budget": budget, "inter_threads": 2, "intra_threads": 1}
    one = {"compute_type": compute_type, "inter_threads": 1, "intra_threads": 2}
    settings = f"sorted, {budget} padded tokens a batch, 2 workers of 1 thread; single query: 1 worker of 2 threads"
    return _peer(
        "ctranslate2", key, label, options=many, single=one, settings=settings, sections=_EVERYTHING | _CALLERS
    )


CONTENDERS: tuple[Contender, ...] = (
    _ours("ours", "bge-onnx fp32", options={"precision": "fp32"}, sections=_EVERYTHING | _CALLERS),
    _ours("ours-int8", "bge-onnx int8", options={"precision": "int8"}, sections=_EVERYTHING | _CALLERS),
    _ours("ours-bf16", "bge-onnx bf16", options={"precision": "bf16"}, sections=_EVERYTHING | _CALLERS),
    *(
        _ours(
            f"ours-{precision}-tasks",
            f"bge-onnx {precision}, asynchronous",
            options={"precision": precision, "asynchronous": True},
            sections=_CALLERS,
        )
        for precision in ("fp32", "int8")
    ),
    _openvino("ov-f32", "OpenVINO f32, tuned", "fp32", "f32", sections=_EVERYTHING | _CALLERS),
    _openvino("ov-bf16", "OpenVINO bf16, tuned", "fp32", "bf16", sections=_EVERYTHING | _CALLERS),
    _openvino("ov-int8", "OpenVINO int8 static, tuned", "int8-static", "f32", sections=_EVERYTHING | _CALLERS),
    _openvino("ov-int8-bf16", "OpenVINO int8 static with bf16, tuned", "int8-static", "bf16", sections=_EMBEDDER),
    _openvino("ov-int8-dynamic", "OpenVINO int8 dynamic, tuned", "int8-weights", "f32", sections=_EVERYTHING),
    _peer(
        "openvino",
        "ov-default",
        "OpenVINO, defaults",
        settings="defaults (bf16 where the processor has it), batches of 32",
        sections=_EMBEDDER,
    ),
    _ctranslate2("ct2-f32", "CTranslate2 f32, tuned", "float32", 512),
    _ctranslate2("ct2-int8", "CTranslate2 int8_float32, tuned", "int8_float32", 512),
    _peer(
        "ctranslate2",
        "ct2-default",
        "CTranslate2, defaults",
        settings="defaults (f32), batches of 32",
        sections=_EMBEDDER,
    ),
    _peer(
        "infinity",
        "infinity-best",
        "Infinity, tuned",
        settings="engine optimum, optimised by ONNX Runtime alone, batch 8",
        options={"engine": "optimum", "batch_size": 8, "onnx_disable_optimize": True},
        sections=frozenset({"embed", "latency", "accuracy", "rerank"}) | _CALLERS,
    ),
    _peer(
        "infinity", "infinity", "Infinity, defaults", sections=frozenset({"embed", "latency", "accuracy"}) | _CALLERS
    ),
    _peer("fastembed", "fastembed", "FastEmbed, defaults"),
    _peer(
        "fastembed",
        "fastembed-32",
        "FastEmbed, batch 32",
        settings="batch 32",
        options={"batch_size": 32},
        sections=_BATCH,
    ),
    _peer(
        "fastembed",
        "fastembed-best",
        "FastEmbed, tuned",
        settings="batch 4, sorted by the caller",
        options={"batch_size": 4, "sort": True},
        sections=_BATCH | {"rerank"},
    ),
    _peer("sentence-transformers", "st", "sentence-transformers, defaults"),
    _peer(
        "sentence-transformers",
        "st-best",
        "sentence-transformers, tuned",
        settings="batch 8",
        options={"batch_size": 8},
        sections=_BATCH | {"rerank"},
    ),
    _peer(
        "sentence-transformers",
        "st-bf16",
        "sentence-transformers bf16, tuned",
        settings="dtype bfloat16, batch 8",
        options={"batch_size": 8, "dtype": "bfloat16"},
        sections=_BATCH | {"latency"},
    ),
    _peer(
        "sentence-transformers-onnx", "st-onnx", "sentence-transformers, ONNX, defaults", options={"backend": "onnx"}
    ),
    _peer(
        "sentence-transformers-onnx",
        "st-onnx-best",
        "sentence-transformers, ONNX, tuned",
        settings="batch 4",
        options={"backend": "onnx", "batch_size": 4},
        sections=_BATCH | {"rerank"},
    ),
    _peer("flagembedding", "flag", "FlagEmbedding, defaults"),
    _peer(
        "flagembedding",
        "flag-best",
        "FlagEmbedding, tuned",
        settings="batch 8",
        options={"batch_size": 8},
        sections=_BATCH | {"rerank"},
    ),
    Contender(
        key=YARDSTICK,
        label="ONNX Runtime, one by one",
        environment=OURS,
        worker="bare_onnxruntime.py",
        sections=frozenset({"latency", "cold", "accuracy"}),
    ),
)
