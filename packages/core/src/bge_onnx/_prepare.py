"""From published graph to the one that runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bge_onnx._session import LOGIT_OUTPUTS, M3_OUTPUTS, TOKEN_OUTPUTS
from bge_onnx._weights._files import ModelFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A graph on disk that is ready to be opened."""

    path: Path
    outputs: tuple[tuple[str, ...], ...]
    optimised: bool = False


def prepare_graph(files: ModelFiles, *, answer: Literal["vector", "tokens", "logits"]) -> Graph:
    """The graph to open."""
    outputs = {"logits": LOGIT_OUTPUTS, "tokens": M3_OUTPUTS + TOKEN_OUTPUTS, "vector": TOKEN_OUTPUTS}[answer]
    return Graph(path=files.paths["model"], outputs=outputs)
