"""What a session is asked for, whoever runs it: a file, and the inputs and outputs that it must have."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy.typing as npt

from bge_onnx._shown import shown
from bge_onnx.errors import UnsuitableModelError

# Alternatives in order of preference: the first whose names a graph all has is used.
TOKEN_OUTPUTS = (("last_hidden_state",), ("token_embeddings",))
LOGIT_OUTPUTS = (("logits",),)
M3_OUTPUTS = (("dense_vecs", "sparse_vecs", "colbert_vecs"),)
DENSE_OUTPUTS = (("dense_vecs",),)

_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})
_LONGEST = 500  # characters of ONNX Runtime's words in a message
_MOST_NAMES, _LONG_NAME = 12, 80

# Who runs a file: ONNX Runtime as it is, ONNX Runtime as it was saved after its own optimisation for this very CPU, or
# the compiled kernels.
Form: TypeAlias = Literal["graph", "optimised", "packed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSpec:
    """What decides whether two sessions are interchangeable.

    Attributes:
        path: The ONNX file, or the packed one.
        stamp: Its size and modification time, so that a replaced file is another session.
        content: Digests of the model's weights, which may lie in other files.
        outputs: Alternatives of output names, in order of preference.
        form: What the file is.
    """

    path: Path
    stamp: tuple[int, int]
    content: tuple[str, ...] = ()
    outputs: tuple[tuple[str, ...], ...]
    form: Form = "graph"


def first_line(error: Exception) -> str:
    """What a message of many lines says first."""
    lines = str(error).strip().splitlines()
    return lines[0][:_LONGEST] if lines else type(error).__name__


def _listed(names: Collection[str]) -> str:
    """Names out of a file, which may be any texts and any number of them."""
    some = [
        name if name.isprintable() and len(name) < _LONG_NAME else shown(name) for name in sorted(names)[:_MOST_NAMES]
    ]
    return ", ".join([*some, "..."] if len(names) > _MOST_NAMES else some)


def chosen_outputs(names: Collection[str], spec: SessionSpec) -> list[str]:
    """The outputs to read of those that a graph has.

    Raises:
        UnsuitableModelError: It has not what is due.
    """
    for alternative in spec.outputs:
        if set(names).issuperset(alternative):
            return list(alternative)
    due = " or ".join("+".join(alternative) for alternative in spec.outputs)
    other = "Embedder" if spec.outputs == LOGIT_OUTPUTS else "Reranker"
    msg = (
        f"{spec.path} has the outputs {_listed(names)}, but {due} is due; open it with the {other} if it is "
        "one, or export it with these names"
    )
    raise UnsuitableModelError(msg)


def input_dtypes(inputs: Mapping[str, tuple[npt.DTypeLike, Sequence[object]]], path: Path) -> dict[str, npt.DTypeLike]:
    """What to feed a graph: the type of every input by name.

    Args:
        inputs: The type and the axes of every input of the graph; an int is a fixed size.
        path: The graph.

    Raises:
        UnsuitableModelError: It asks for inputs that no BGE encoder has, or for a fixed size.
    """
    unknown = sorted(set(inputs) - _INPUTS)
    if unknown:
        msg = f"{path} asks for the inputs {_listed(unknown)}, which no BGE encoder has; export it without them"
        raise UnsuitableModelError(msg)
    for name, (_, sizes) in inputs.items():
        if any(isinstance(size, int) for size in sizes):
            shape = "x".join("?" if size is None else str(size) for size in sizes)
            msg = f"{path} takes {name} of the fixed shape {shape}; export it with dynamic batch and sequence axes"
            raise UnsuitableModelError(msg)
    return {name: dtype for name, (dtype, _) in inputs.items()}
