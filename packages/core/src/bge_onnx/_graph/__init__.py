"""A model -> ONNX: the same encoder with fewer or cheaper operations. Reads one original, keeps nothing.

    ONNX file --source, match--> Encoder --build (int8)--> Graph --verify--> PreparedGraph
    checkpoint -----------------> Encoder

A graph is only handed out after it has answered random token ids as the original does: an ONNX file answers by itself,
weights by a plain forward pass. So a wrong reading of a file costs the gain, and never the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bge_onnx._graph.build import Rows, Site, build
from bge_onnx._graph.cuda import Floats, build_cuda
from bge_onnx._graph.encoder import Array, Encoder, UnrecognisedGraph
from bge_onnx._graph.int8 import SMOOTHED, RowInt8, pair_saturation_bound, row_factors, smooth_context
from bge_onnx._graph.original import OnnxFile, Original
from bge_onnx._graph.packed import Products, can_pack, pack
from bge_onnx._graph.portable import build_portable
from bge_onnx._graph.verify import answers, answers_of, difference, open_graph, peaks
from bge_onnx._kernels import PACKED
from bge_onnx._runtime.memory import trim_heap
from bge_onnx._runtime.packed import PackedSession, PackedWeights
from bge_onnx._runtime.session import check_active, preload
from bge_onnx._runtime.spec import SessionSpec

__all__ = [
    "OnnxFile",
    "Original",
    "PreparedGraph",
    "UnrecognisedGraph",
    "pair_saturation_bound",
    "prepare",
    "prepare_cuda",
    "prepare_portable",
]

_FLOAT32_TOLERANCE = 1e-5
# A misplaced scale moves the output by more than its own size. Rounding to 8 bits moves it by 4 % with trained weights;
# layers of random weights amplify whatever comes in: up to 16 % in vectors, and 35 % in the logits after 24 layers.
_INT8_TOLERANCE = 0.5
_BFLOAT16_TOLERANCE = 0.1  # 8 bits of mantissa, in as many layers
# Other kernels add in another order, and float16 keeps 11 bits. What overflows is far beyond both.
_CUDA_TOLERANCE: Mapping[Floats, float] = {"fp32": 1e-4, "fp16": 0.1}


@dataclass(frozen=True, slots=True)
class PreparedGraph:
    """A graph that has been shown to answer as the original does.

    Attributes:
        path: The ONNX model, its weights beside it; or the packed one.
        output: Name of the output: "sentence_embedding" (batch, hidden), the first row, not normalised; "logits"
            (batch, labels); or "last_hidden_state" (batch, sequence, hidden). All float32.
        max_abs_diff: Largest absolute difference of a component to the original on random ids, in units of the length
            of the original's vector, or of its logits, where that is above 1.
        note: What was done, on one line.
    """

    path: Path
    output: str
    max_abs_diff: float
    note: str


def prepare(
    original: Original,
    folder: Path,
    *,
    rows: Rows,
    precision: Literal["fp32", "bf16", "int8"],
    threads: int = 1,
    packed: bool = False,
) -> PreparedGraph:
    """Rebuild the graph of a BERT or XLM-R encoder.

    Args:
        original: An ONNX file, or weights.
        folder: An existing folder for the model and its weights.
        rows: "cls" for the first row or the logits of a classifier, "tokens" for all rows.
        precision: "fp32" equals the original to 1e-5; "int8" multiplies in 8 bits, without calibration texts; "bf16"
            in bfloat16, in the compiled kernels alone.
        threads: How many threads ONNX Runtime may use while both graphs are compared.
        packed: Whether weights are packed for the compiled kernels, where they read models of this shape.

    Raises:
        UnrecognisedGraph: The original is not one that this can rebuild, or the rebuilt one answers otherwise.
    """
    expected = original.answers(rows, threads=threads)
    encoder = original.encoder()
    if precision == "bf16":
        return _in_kernels(encoder, rows, folder, expected, precision)
    if packed and precision == "fp32":
        with suppress(UnrecognisedGraph):  # a graph may still do
            return _in_kernels(encoder, rows, folder, expected, precision)
    exact = build(encoder, rows, folder, watch=SMOOTHED if precision == "int8" else ())
    session = open_graph(exact, threads=threads)
    largest, _ = difference(expected, answers(session, encoder), encoder)
    if not largest <= _FLOAT32_TOLERANCE:
        raise UnrecognisedGraph(f"the rebuilt graph differs from the original by {largest:.1e} on random ids")
    if precision == "fp32":
        return PreparedGraph(exact.path, exact.output, largest, _note(encoder, rows, "float32"))
    highest = peaks(session, exact, encoder)
    del session
    trim_heap()
    smoothed = smooth_context(encoder, highest)
    factors = row_factors(smoothed, highest)
    if packed:
        with suppress(UnrecognisedGraph):
            path, output, found = _packed(smoothed, rows, folder, "int8", factors)
            return _rounded(path, output, expected, found, encoder, rows, "row-wise int8 in compiled kernels")
    graph = build(smoothed, rows, folder, arithmetic=lambda writer: RowInt8(writer, factors))
    found = answers(open_graph(graph, threads=threads), encoder)
    return _rounded(graph.path, graph.output, expected, found, encoder, rows, "row-wise int8")


def prepare_portable(original: Original, folder: Path, *, rows: Rows, data: str) -> PreparedGraph:
    """Write the graph of an encoder in float32 and standard operators, as an exporter would.

    Args:
        original: An ONNX file, or weights.
        folder: An existing folder for the model and its weights.
        rows: "cls" for the logits of a classifier, or the first row; "tokens" for all rows.
        data: Name of the file for the weights.

    Raises:
        UnrecognisedGraph: The original is not one that this can rebuild, or the graph answers otherwise.
    """
    expected = original.answers(rows, threads=1)
    encoder = original.encoder()
    graph = build_portable(encoder, rows, folder, data=data)
    largest, _ = difference(expected, answers(open_graph(graph, threads=1), encoder), encoder)
    if not largest <= _FLOAT32_TOLERANCE:
        raise UnrecognisedGraph(f"the graph differs from the original by {largest:.1e} on random ids")
    note = f"{len(encoder.layers)} layers of standard operators, float32"
    return PreparedGraph(graph.path, graph.output, largest, note)


def prepare_cuda(
    original: Original,
    folder: Path,
    *,
    rows: Rows,
    floats: Floats,
    data: str,
    providers: Sequence[tuple[str, Mapping[str, str]]],
) -> PreparedGraph:
    """Write the graph of an encoder for CUDA's kernels.

    Args:
        original: An ONNX file, or weights.
        folder: An existing folder for the model and its weights.
        rows: "cls" for the first row or the logits of a classifier, "tokens" for all rows.
        floats: "fp32" or "fp16".
        data: Name of the file for the weights.
        providers: Where its answers are compared with the original's.

    Raises:
        UnrecognisedGraph: The original is not one that this can rebuild, or the graph answers otherwise.
    """
    expected = original.answers(rows, threads=1)
    encoder = original.encoder()
    graph = build_cuda(encoder, rows, folder, data=data, floats=floats)
    names = [name for name, _ in providers]
    preload(names)
    session = open_graph(graph, threads=1, providers=providers)
    check_active(session, names)
    largest, relative = difference(expected, answers(session, encoder), encoder, holes=False)
    if not relative <= _CUDA_TOLERANCE[floats]:
        raise UnrecognisedGraph(f"in {floats} the graph moves the output by {relative:.1e} on random ids")
    note = _note(encoder, rows, f"fused for CUDA, {floats}, {relative:.1e} off on random ids")
    return PreparedGraph(graph.path, graph.output, largest, note)


def _rounded(
    path: Path, output: str, expected: list[Array], found: list[Array], encoder: Encoder, rows: Rows, how: str
) -> PreparedGraph:
    """What was made in 8 bits, if it is near enough."""
    largest, relative = difference(expected, found, encoder)
    if not relative <= _INT8_TOLERANCE:
        raise UnrecognisedGraph(f"8-bit products move the output by {relative:.0%} on random ids")
    return PreparedGraph(path, output, largest, _note(encoder, rows, f"{how}, {relative:.1%} off on random ids"))


def _in_kernels(
    encoder: Encoder, rows: Rows, folder: Path, expected: list[Array], precision: Literal["fp32", "bf16"]
) -> PreparedGraph:
    path, output, found = _packed(encoder, rows, folder, precision)
    largest, relative = difference(expected, found, encoder)
    if precision == "fp32":
        if not largest <= _FLOAT32_TOLERANCE:
            raise UnrecognisedGraph(f"the packed model differs from the original by {largest:.1e} on random ids")
        return PreparedGraph(path, output, largest, _note(encoder, rows, "float32 in compiled kernels"))
    if not relative <= _BFLOAT16_TOLERANCE:
        raise UnrecognisedGraph(f"bfloat16 moves the output by {relative:.1%} on random ids")
    note = _note(encoder, rows, f"bfloat16 in compiled kernels, {relative:.1%} off on random ids")
    return PreparedGraph(path, output, largest, note)


def _packed(
    encoder: Encoder,
    rows: Rows,
    folder: Path,
    products: Products,
    factors: Mapping[Site, Array] | None = None,
) -> tuple[Path, str, list[Array]]:
    """Pack the weights: the file, the name of its output, and what the kernels answer."""
    if not can_pack(encoder):
        width = encoder.hidden // encoder.heads
        raise UnrecognisedGraph(f"the kernels read no model of {encoder.hidden} components with heads of {width}")
    path = folder / PACKED
    pack(encoder, rows, path, products=products, factors=factors)
    output = PackedWeights(path).output
    session = PackedSession.open(SessionSpec(path=path, stamp=(0, 0), outputs=((output,),), form="packed"))
    return path, output, answers_of(lambda feed: session.run(feed)[output], encoder)


def _note(encoder: Encoder, rows: Rows, precision: str) -> str:
    last = "first row only in the last layer" if rows == "cls" else "all rows"
    return f"rebuilt: {len(encoder.layers)} layers, {last}, {precision}"
