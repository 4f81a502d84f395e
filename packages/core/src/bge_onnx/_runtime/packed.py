"""One packed model in the compiled kernels, behind the interface of `Session`.

The weights are mapped, and what a batch needs beside them is kept between batches: one workspace for each batch that
runs at the same time. All sessions of a model share the mapping.
"""

from __future__ import annotations

import ctypes
import json
import math
import mmap
import threading
import weakref
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bge_onnx import _kernels as kernels
from bge_onnx._heads.vectors import Outputs
from bge_onnx._runtime.spec import SessionSpec, chosen_outputs
from bge_onnx.errors import InferenceError, UnsuitableModelError

__all__ = ["PackedSession", "PackedWeights"]

_ALIGNMENT = 64
# Bytes of a weight in the products of many rows.
_SIZES = {"int8": 1, "bf16": 2, "fp32": 4}
_REFUSALS = {
    1: "a token id is not one of the {vocabulary} in the vocabulary; is the tokenizer the model's own?",
    2: "a token type is not one of the {types} that the model knows",
    3: "a text is longer than the {positions} positions that the model knows",
}


class PackedWeights:
    """A mapped file, and the structure that the kernels read it by."""

    def __init__(self, path: Path) -> None:
        """Map the file.

        Raises:
            UnsuitableModelError: It is not a packed model, or a damaged one.
        """
        try:
            with path.open("rb") as file:
                self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._read()
        except (OSError, ValueError, LookupError, ArithmeticError, TypeError, AttributeError, RecursionError) as error:
            msg = f"{path} is not a packed model ({type(error).__name__}: {error}); remove it, and it is made anew"
            raise UnsuitableModelError(msg) from error

    def _read(self) -> None:
        tensors = _Tensors(self._mapped)
        facts = tensors.facts
        hidden, inner, layers, labels = (int(facts[name]) for name in ("hidden", "inner", "layers", "labels"))
        heads, epsilons = int(facts["heads"]), [float(one) for one in facts["epsilons"]]
        rows_of_last = "last.query" in tensors
        padding_id, activation = int(facts["padding_id"]), int(facts["activation"])
        if not kernels.reads(hidden=hidden, heads=heads, inner=inner):
            raise ValueError("its widths are not those that kernels read")
        if layers < 0 or len(epsilons) != 2 * (layers + rows_of_last) or not 0 <= labels <= hidden * rows_of_last:
            raise ValueError("its layers or labels do not add up")
        if activation not in range(3) or not -1 <= padding_id < tensors.rows("positions", 4 * hidden):
            raise ValueError("its activation or padding is not one that kernels know")
        if not all(math.isfinite(one) and one >= 0 for one in (*epsilons, float(facts["epsilon"]))):
            raise ValueError("an epsilon is not a small positive number")
        self.products = str(facts["products"])
        # ctypes keeps no reference to what a pointer points to.
        self._layers = (kernels.Layer * max(1, layers))(
            *(_layer(tensors, number, hidden, inner, epsilons) for number in range(layers))
        )
        typed = "types" in tensors
        encoder = kernels.Encoder(
            hidden=hidden,
            heads=heads,
            inner=inner,
            layers=layers,
            activation=activation,
            padding_id=padding_id,
            labels=labels,
            epsilon=float(facts["epsilon"]),
            vocabulary=tensors.rows("words", tensors.stored * hidden),
            positions=tensors.rows("positions", 4 * hidden),
            types=tensors.rows("types", 4 * hidden) if typed else 0,
            word_rows=tensors.at("words"),
            position_rows=tensors.at("positions"),
            type_rows=tensors.at("types") if typed else None,
            norm=tensors.norm("embeddings.norm", hidden),
            layer=self._layers,
        )
        if rows_of_last:
            self._last = _first_row(tensors, hidden, inner, epsilons)
            encoder.last = ctypes.pointer(self._last)
        if labels:
            encoder.dense = tensors.few("dense", hidden, hidden)
            encoder.out = tensors.few("out", hidden, -(-labels // kernels.ROW_PANEL) * kernels.ROW_PANEL)
        self.encoder = encoder

    @property
    def output(self) -> str:
        """Name of what the model answers, as a rebuilt graph would call it."""
        if not self.encoder.last:
            return "last_hidden_state"
        return "logits" if self.encoder.labels else "sentence_embedding"


class _Tensors:
    """The tensors of a mapped safetensors file: their addresses, once their sizes are what they should be."""

    def __init__(self, mapped: mmap.mmap) -> None:
        size = int.from_bytes(mapped[:8], "little")
        if not 0 < size <= len(mapped) - 8:
            raise ValueError("its header is cut off")
        header = json.loads(mapped[8 : 8 + size])
        self.facts: Mapping[str, Any] = json.loads(header.pop("__metadata__")["encoder"])
        self._entries: Mapping[str, Any] = header
        # Bytes of a number in the vocabulary, and of a weight in products of few rows.
        self.stored = max(2, _SIZES[self.facts["products"]])
        self._room = len(mapped) - 8 - size
        self._start = np.frombuffer(mapped, np.uint8).ctypes.data + 8 + size

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def rows(self, name: str, size: int) -> int:
        """Rows of a table, of so many bytes each."""
        return self._bytes(name) // size

    def at(self, name: str, size: int | None = None) -> int:
        """Where a tensor of so many bytes begins."""
        if size is not None and self._bytes(name) != size:
            raise ValueError(f"{name} has {self._bytes(name)} bytes in place of {size}")
        return self._start + int(self._entries[name]["data_offsets"][0])

    def norm(self, name: str, hidden: int) -> kernels.Norm:
        return kernels.Norm(self.at(f"{name}.gamma", 4 * hidden), self.at(f"{name}.beta", 4 * hidden))

    def product(self, name: str, rows: int, columns: int) -> kernels.Product:
        bias = self.at(f"{name}.bias", 4 * columns)
        size = _SIZES[self.facts["products"]]
        if size > 1:
            return kernels.Product(weight=self.at(name, size * rows * columns), bias=bias)
        scale, offset = (self.at(f"{name}.{part}", 4 * columns) for part in ("scale", "offset"))
        return kernels.Product(weight=self.at(name, rows * columns), scale=scale, bias=bias, offset=offset)

    def few(self, name: str, rows: int, columns: int) -> kernels.Rows:
        """A product of few rows."""
        return kernels.Rows(self.at(name, self.stored * rows * columns), self.at(f"{name}.bias", 4 * columns))

    def by_head(self, name: str, rows: int, columns: int) -> kernels.Rows:
        """The products of all heads, which have no bias; so many rows and columns in all."""
        return kernels.Rows(self.at(name, self.stored * rows * columns), None)

    def _bytes(self, name: str) -> int:
        first, end = map(int, self._entries[name]["data_offsets"])
        if not 0 <= first <= end <= self._room:
            raise ValueError(f"{name} lies outside the file")
        return end - first


def _layer(tensors: _Tensors, number: int, hidden: int, inner: int, epsilons: list[float]) -> kernels.Layer:
    smoothed = tensors.facts["products"] == "int8"
    return kernels.Layer(
        rows=tensors.at(f"{number}.rows", 4 * hidden) if smoothed else None,
        middle=tensors.at(f"{number}.middle", 4 * hidden) if smoothed else None,
        attention=tensors.product(f"{number}.attention", hidden, 3 * hidden),
        output=tensors.product(f"{number}.output", hidden, hidden),
        up=tensors.product(f"{number}.up", hidden, inner),
        down=tensors.product(f"{number}.down", inner, hidden),
        attention_norm=tensors.norm(f"{number}.attention_norm", hidden),
        norm=tensors.norm(f"{number}.norm", hidden),
        attention_epsilon=epsilons[2 * number],
        epsilon=epsilons[2 * number + 1],
    )


def _first_row(tensors: _Tensors, hidden: int, inner: int, epsilons: list[float]) -> kernels.FirstRow:
    return kernels.FirstRow(
        query=tensors.few("last.query", hidden, hidden),
        key=tensors.by_head("last.key", hidden, hidden),
        value=tensors.by_head("last.value", hidden, hidden),
        output=tensors.few("last.output", hidden, hidden),
        up=tensors.few("last.up", hidden, inner),
        down=tensors.few("last.down", inner, hidden),
        attention_norm=tensors.norm("last.attention_norm", hidden),
        norm=tensors.norm("last.norm", hidden),
        attention_epsilon=epsilons[-2],
        epsilon=epsilons[-1],
    )


class PackedSession:
    """An open model; batches run at the same time, each on the thread that brings it, or one by one on all threads."""

    def __init__(self, spec: SessionSpec, weights: PackedWeights, kernel: kernels.Kernel, *, threads: int = 1) -> None:
        """Make a session of mapped weights.

        Args:
            spec: What was asked for.
            weights: Shared by all sessions of a model.
            kernel: One for the products of these weights.
            threads: How many work on one batch. More than one serve one batch at a time, and another that comes
                meanwhile runs on the thread that brings it.

        Raises:
            UnsuitableModelError: The model has not the output that is due.
        """
        self._spec = spec
        self._weights = weights
        self._kernel = kernel
        self.outputs = chosen_outputs([weights.output], spec)
        self._workspaces: deque[npt.NDArray[np.uint8]] = deque()
        self._pool = kernel.library.bge_pool_new(threads) if threads > 1 else None
        self._threads = threads if self._pool else 1
        self._turn = threading.Lock()
        if self._pool:
            # Not when the process ends: a forked one would wait for threads that do not exist in it.
            weakref.finalize(self, kernel.library.bge_pool_free, self._pool).atexit = False

    @classmethod
    def open(cls, spec: SessionSpec) -> Self:
        """A session of a packed file, in the fastest kernels that run here.

        Raises:
            UnsuitableModelError: See `PackedWeights`; or no kernels run here.
        """
        weights = PackedWeights(spec.path)
        here = kernels.kernels_here(weights.products)
        if not here:
            msg = f"{spec.path} is packed for kernels that do not run here; remove it, and it is made anew"
            raise UnsuitableModelError(msg)
        return cls(spec, weights, here[-1])

    @property
    def lone_from(self) -> int:
        """See `Session`; here it costs some threads."""
        return 1

    @property
    def providers(self) -> tuple[str, ...]:
        """What computes."""
        return (f"bge-onnx kernels ({self._kernel.name})",)

    def on(self, threads: int) -> Self:
        """A session with the same weights and so many threads."""
        return type(self)(self._spec, self._weights, self._kernel, threads=threads)

    def width(self, output: str) -> int | None:
        """Size of an output's last axis."""
        encoder = self._weights.encoder
        return int(encoder.labels if output == "logits" else encoder.hidden)

    def run(self, feed: Mapping[str, npt.NDArray[np.int64]], *, shrink: bool = False) -> Outputs:
        """The outputs by name; see `Session.run`."""
        ids, mask = (np.ascontiguousarray(feed[name], np.int64) for name in ("input_ids", "attention_mask"))
        encoder = self._weights.encoder
        types = np.ascontiguousarray(feed["token_type_ids"], np.int64) if encoder.types else None
        if (
            ids.ndim != 2
            or ids.size == 0
            or mask.shape != ids.shape
            or (types is not None and types.shape != ids.shape)
        ):
            raise InferenceError(
                "input_ids, attention_mask and token_type_ids must have one shape (texts, tokens), not empty"
            )
        try:
            answer, status = self._answer(ids, mask, types, keep=not shrink)
        except MemoryError as error:
            shape = "x".join(map(str, ids.shape))
            msg = f"memory does not suffice for {shape} tokens; a smaller token_budget needs less"
            raise InferenceError(msg) from error
        if status:
            reason = _REFUSALS.get(status, f"the kernels answer {status}")
            raise InferenceError(reason.format_map({name: getattr(encoder, name) for name, _ in encoder._fields_}))
        return {self.outputs[0]: answer}

    def _answer(
        self,
        ids: npt.NDArray[np.int64],
        mask: npt.NDArray[np.int64],
        types: npt.NDArray[np.int64] | None,
        *,
        keep: bool,
    ) -> tuple[npt.NDArray[np.float32], int]:
        encoder = self._weights.encoder
        texts, width = ids.shape
        shape = (texts, width, encoder.hidden) if not encoder.last else (texts, encoder.labels or encoder.hidden)
        answer = np.empty(shape, np.float32)
        batch = kernels.Batch(
            ids=ids.ctypes.data,
            mask=mask.ctypes.data,
            types=None if types is None else types.ctypes.data,
            texts=texts,
            width=width,
            answer=answer.ctypes.data,
        )
        library, number = self._kernel.library, self._kernel.number
        mine = False
        try:
            mine = self._pool is not None and self._turn.acquire(blocking=False)
            pool, threads = (self._pool, self._threads) if mine else (None, 1)
            workspace = self._workspace(library.bge_workspace(number, encoder, texts, width, threads))
            start = -(-workspace.ctypes.data // _ALIGNMENT) * _ALIGNMENT
            status = library.bge_run(number, encoder, batch, start, pool)
        finally:
            if mine:
                self._turn.release()
        if keep:
            self._workspaces.append(workspace)
        return answer, int(status)

    def _workspace(self, size: int) -> npt.NDArray[np.uint8]:
        """One that nobody uses at the moment, or a new one."""
        needed = size + _ALIGNMENT
        try:
            found = self._workspaces.pop()
        except IndexError:
            return np.empty(needed, np.uint8)
        return found if len(found) >= needed else np.empty(needed, np.uint8)
