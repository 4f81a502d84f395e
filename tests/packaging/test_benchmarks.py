"""What the benchmarks time has to be computed: no engine has seen it before, and ours answers nothing from memory."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from bge_onnx import Embedder
from bge_onnx.testing import write_tiny_model

ROOT = Path(__file__).resolve().parents[2]
CPUS = 2
TEXTS = [f"measured text {number}" for number in range(6)]
OTHERS = [f"another text {number}" for number in range(6)]


@pytest.fixture(autouse=True)
def _import_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "workers"))


@pytest.fixture
def protocol() -> ModuleType:
    return importlib.import_module("_protocol")


def request_of(protocol: ModuleType, **changes: Any) -> Any:
    given = {
        "task": "embed",
        "mode": "throughput",
        "model": "",
        "inputs": "",
        "others": "",
        "warmup": 4,
        "threads": None,
        "spawned": 0.0,
        "options": {},
    }
    return protocol.Request(**given | changes)


class Recorder:
    """An engine that notes what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> list[Any]:
        self.calls.append(list(texts))
        return [np.ones(2, dtype=np.float32) for _ in texts]


@pytest.mark.parametrize("count", [2, 8])
def test_every_job_warms_up_on_other_inputs_than_those_it_measures(
    count: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BGE_SHARED", str(tmp_path))  # the texts that the repository brings
    jobs, texts = importlib.import_module("_jobs"), importlib.import_module("_texts")
    contenders = importlib.import_module("_contenders").CONTENDERS
    size = jobs.Size(
        repetitions=1,
        mixed=count,
        uniform=count,
        short=count,
        pairs=count,
        queries=count,
        growth=(count,),
        words=(12,),
        words_together=12 * count,
        long=count,
    )
    pool = texts.load_pool(None)
    planned = jobs.plan(jobs.SECTIONS, contenders, pool, size, cpus=CPUS)
    assert {job.section for job in planned} == set(jobs.SECTIONS)
    corpora = {(job.section, job.corpus.name): job for job in planned}
    for job in corpora.values():
        assert len(job.corpus.others) >= max(1, job.warmup), job.section
        assert set(job.corpus.others).isdisjoint(job.corpus.inputs), (job.section, job.corpus.name)


@pytest.mark.parametrize(("mode", "calls"), [("throughput", [TEXTS]), ("latency", [[text] for text in TEXTS])])
def test_an_engine_sees_what_is_timed_for_the_first_time(
    protocol: ModuleType, monkeypatch: pytest.MonkeyPatch, mode: str, calls: list[list[str]]
) -> None:
    monkeypatch.setattr(protocol, "undisturbed", lambda once: once())
    engine = Recorder()
    request = request_of(protocol, mode=mode)
    protocol.measure("json", lambda _, __: engine, request, TEXTS, OTHERS)
    assert engine.calls == [OTHERS[:1], OTHERS[:4], *calls]


@pytest.mark.parametrize("kind", ["embed", "rerank"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_ours_computes_what_it_is_asked_for_twice(
    protocol: ModuleType, tiny_m3: Path, tiny_reranker: Path, rows_run: list[int], kind: str, precision: str
) -> None:
    worker = importlib.import_module("ours")
    model = tiny_m3 if kind == "embed" else tiny_reranker
    request = request_of(protocol, task=kind, model=str(model), options={"precision": precision})
    engine = worker.open_engine(importlib.import_module("bge_onnx"), request)
    inputs = TEXTS if kind == "embed" else [["query", text] for text in TEXTS]
    rows_run.clear()  # of batches that ran while the model was prepared
    for times in (1, 2):
        engine(inputs)
        assert sum(rows_run) == times * len(inputs)


def test_everybody_cuts_texts_at_the_models_longest_input(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "m3", kind="m3", max_tokens=1024)
    importlib.import_module("_models").complete(folder)
    with Embedder(folder) as embedder:
        assert embedder.max_length == 1024
    limits = json.loads((folder / "sentence_bert_config.json").read_text(encoding="utf-8"))
    assert limits["max_seq_length"] == 1024
