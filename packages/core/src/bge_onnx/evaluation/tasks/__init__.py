"""The tasks that `bge-onnx eval` knows, by name; one small file each."""

from __future__ import annotations

from collections.abc import Mapping

from bge_onnx.evaluation.tasks import cmteb_stsb, scifact, stsbenchmark, xquad
from bge_onnx.evaluation.tasks.kinds import Pairs, PairsTask, Retrieval, RetrievalTask

__all__ = ["TASKS", "Pairs", "PairsTask", "Retrieval", "RetrievalTask"]

TASKS: Mapping[str, PairsTask | RetrievalTask] = {
    task.name: task for task in (stsbenchmark.TASK, cmteb_stsb.TASK, scifact.TASK, xquad.ENGLISH, xquad.CHINESE)
}
