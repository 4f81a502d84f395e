"""A reranker, if there is one to be had; else the reason why not."""

from __future__ import annotations

import os

from bge_onnx import BGEError, Reranker

MODEL = "BAAI/bge-reranker-base"


def open_reranker() -> tuple[Reranker | None, str]:
    """Open the reranker that BGE_RERANKER names, or BAAI/bge-reranker-base.

    Returns:
        The reranker, or None; and a line for people that says where its weights are from or why there is none.
    """
    chosen = os.environ.get("BGE_RERANKER")
    try:
        reranker = Reranker(chosen or MODEL, truncate="window")
    except BGEError as error:
        if chosen:
            return None, f"no reranking with BGE_RERANKER={chosen}: {error}"
        return None, (
            f"no reranking: the weights of {MODEL} are not reachable; make the hub reachable, set HF_ENDPOINT "
            "to a mirror, or name a folder that holds them: BGE_RERANKER=/path make demo"
        )
    return reranker, f"{chosen or MODEL}: weights from {reranker.source}"
