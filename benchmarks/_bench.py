"""Runs jobs, each in a process of its own, and collects their answers."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from _contenders import YARDSTICK, Contender
from _jobs import Job
from _models import Model
from _texts import Corpus
from peers import OURS, PeerError, environment, interpreter

_WORKERS = Path(__file__).parent / "workers"
_TIMEOUT = 2 * 60 * 60


class Bench:
    """One run: where things lie, which models are used, and what has been measured so far."""

    def __init__(
        self, work: Path, models: dict[str, Model], results: dict[str, Any], calibration: dict[str, Corpus]
    ) -> None:
        self._work = work
        self._models = models
        self._calibration = calibration
        self.results = results

    def admit(
        self, contenders: Iterable[Contender], task: str, corpus: Corpus, *, known: bool = False
    ) -> list[Contender]:
        """Makes each contender's environment, runs it once unmeasured, and leaves out those that fail.

        The unmeasured run also gives the vectors to compare, and lets bge-onnx prepare its graph, which takes time and
        memory. That is why ours has it also where all others are `known` to run.
        """
        admitted = []
        for contender in contenders:
            if known and contender.environment != OURS:
                admitted.append(contender)
                continue
            say(f"{task}: preparing {contender.label}")
            try:
                interpreter(contender.environment, self._work)
            except PeerError as error:
                self._fail(task, contender, str(error))
                continue
            section = "rerank" if task == "rerank" else "cold"
            if self.run(Job(section=section, contender=contender, corpus=corpus, mode="cold"), record="prepare"):
                admitted.append(contender)
        return admitted

    def run(self, job: Job, *, record: str | None = None) -> bool:
        """Runs one job in a fresh process and records the answer; False if it failed."""
        model = self._models[job.task]
        alone = job.mode == "latency" or len(job.corpus.inputs) == 1
        single = alone and job.contender.single is not None
        options = job.contender.single if single else job.contender.options
        vectors = self._work / "vectors" / f"{job.contender.key}.npy"
        vectors.parent.mkdir(exist_ok=True)
        request = {
            "task": job.task,
            "mode": job.mode,
            "model": str(model.folder),
            "inputs": str(self._inputs(job.corpus.inputs)),
            "others": str(self._inputs(job.corpus.others)),
            "warmup": job.warmup,
            "threads": job.threads,
            "options": dict(options or {}),
            "callers": job.callers,
            "calibration": str(self._inputs(self._calibration[job.task].inputs)),
            "vectors": str(vectors),
        }
        pinned = ["taskset", "--cpu-list", ",".join(map(str, range(job.cpus)))] if job.cpus else []
        command = [
            *pinned,
            str(interpreter(job.contender.environment, self._work)),
            str(_WORKERS / job.contender.worker),
        ]
        try:
            done = subprocess.run(
                command,
                input=json.dumps(request | {"spawned": time.time()}),
                env=environment(job.contender.environment),
                capture_output=True,
                text=True,
                timeout=_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            self._fail(job.section, job.contender, f"no answer within {_TIMEOUT} s")
            return False
        if done.returncode or not done.stdout.strip():
            lines = done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"]
            self._fail(job.section, job.contender, lines[-1])
            return False
        answer = json.loads(done.stdout)
        if job.mode == "accuracy":
            answer |= _compared(vectors, vectors.with_name(f"{YARDSTICK}.npy"))
        tokens = self._tokens(model, job.corpus)
        self.results["runs"].append(
            {
                "section": record or job.section,
                "task": job.task,
                "contender": job.contender.key,
                "corpus": job.corpus.name,
                "inputs": len(job.corpus.inputs),
                "tokens": sum(tokens),
                "operations": model.operations(tokens),
                "repetition": job.repetition,
                "threads": job.threads,
                "cpus": job.cpus,
                **answer,
            }
        )
        return True

    def _inputs(self, inputs: Sequence[Any]) -> Path:
        text = json.dumps(inputs)
        path = self._work / "inputs" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return path

    def _tokens(self, model: Model, corpus: Corpus) -> list[int]:
        """Token counts of a corpus; what is known of it is noted in the results once."""
        known: dict[str, list[int]] = self.results["lengths"]
        key = f"{model.folder.name} {self._inputs(corpus.inputs).stem}"
        if key not in known:
            known[key] = model.tokens(corpus)
            self.results["corpora"].append(
                {
                    "name": corpus.name,
                    "source": corpus.source,
                    "inputs": len(corpus.inputs),
                    "mean_tokens": sum(known[key]) / len(known[key]),
                    "max_tokens": max(known[key]),
                }
            )
        return known[key]

    def _fail(self, section: str, contender: Contender, reason: str) -> None:
        say(f"{contender.label}: {reason}")
        self.results["failures"].append({"section": section, "contender": contender.key, "reason": reason})


def _compared(vectors: Path, truth: Path) -> dict[str, float]:
    """Cosines to the published graph's vectors in fp32, computed text by text."""
    ours, theirs = (np.load(path).astype(np.float64) for path in (vectors, truth))
    cosine = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    return {"cosine_mean": float(cosine.mean()), "cosine_min": float(cosine.min())}


def say(line: str) -> None:
    """Prints a line with the time before it."""
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", flush=True)
