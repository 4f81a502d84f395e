"""An ONNX graph under construction: operators named as `torch.onnx` names them, weights drawn one block at a time."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

OPSET = 14
_IR_VERSION = 7
_BLOCK = 1 << 22  # numbers drawn at a time: 16 MiB
_INLINE = 1024  # bytes up to which a tensor stays in the graph, as onnx itself decides it
_ALIGNMENT = 64


class GraphBuilder:
    """Collects the nodes and weights of one graph and writes them to a file.

    Args:
        path: Where `save` writes the model.
        seed: Seed of the weights. Each tensor has a generator of its own, made from the seed and the tensor's name.
        external_data: Whether the weights go to `<path>_data` as they are drawn, instead of into the model file.
    """

    def __init__(self, path: Path, *, seed: int, external_data: bool) -> None:
        self._path = path
        self._seed = seed
        self._external = path.with_name(f"{path.name}_data") if external_data else None
        if self._external is not None:
            self._external.write_bytes(b"")
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._names: Counter[str] = Counter()

    def op(
        self,
        kind: str,
        inputs: Sequence[str],
        *,
        at: str = "",
        output: str = "",
        attributes: Mapping[str, Any] | None = None,
    ) -> str:
        """Appends an operator in scope `at` and returns the name of its output, which `output` may fix."""
        from onnx import helper

        name = self._unique(f"{at}/{kind}")
        output = output or f"{name}_output_0"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], name=name, **(attributes or {})))
        return output

    def constant(self, value: NDArray[Any] | np.generic, *, at: str = "") -> str:
        """Appends a Constant and returns its name; a 0-d value stays 0-d."""
        from onnx import numpy_helper

        return self.op("Constant", [], at=at, attributes={"value": numpy_helper.from_array(np.asarray(value))})

    def weight(self, name: str, shape: tuple[int, ...], *, std: float, mean: float = 0.0) -> str:
        """Adds normally distributed float32 numbers of the given shape as the initializer `name`."""
        from onnx import TensorProto

        tensor = TensorProto(name=name, dims=shape, data_type=TensorProto.FLOAT)
        generator = np.random.default_rng([self._seed, zlib.crc32(name.encode())])
        blocks = _normal_blocks(generator, shape, std=std, mean=mean)
        if self._external is None or 4 * int(np.prod(shape)) <= _INLINE:
            tensor.raw_data = b"".join(blocks)
        else:
            _append_external(tensor, self._external, blocks)
        self._weights.append(tensor)
        return name

    def matrix(self, shape: tuple[int, int], *, std: float) -> str:
        """Adds a `[in, out]` matrix under an anonymous name, as `torch.onnx` names the weight of a linear layer."""
        self._names["matrix"] += 1
        return self.weight(f"onnx::MatMul_{self._names['matrix']}", shape, std=std)

    def save(self, inputs: Sequence[str], outputs: Mapping[str, tuple[str | int, ...]]) -> None:
        """Writes the model: int64 `inputs` of shape [batch, sequence], float32 `outputs` of the given shapes."""
        import onnx
        from onnx import TensorProto, helper

        graph = helper.make_graph(
            self._nodes,
            "main_graph",
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in inputs],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        )
        # Moved in one by one and let go: with hundreds of megabytes inside, a second full list would double the memory.
        while self._weights:
            graph.initializer.append(self._weights.pop(0))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION)
        model.producer_name = "bge_onnx.testing"
        onnx.save_model(model, self._path)

    def _unique(self, name: str) -> str:
        """Returns the name with a counter from its second use on, as `torch.onnx` does."""
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}_{self._names[name] - 1}"


def _normal_blocks(
    generator: np.random.Generator, shape: tuple[int, ...], *, std: float, mean: float
) -> Iterator[bytes]:
    """Yields the bytes of a little-endian float32 tensor of normally distributed numbers, block by block."""
    remaining = int(np.prod(shape))
    while remaining:
        block = generator.standard_normal(min(remaining, _BLOCK), dtype=np.float32)
        block *= np.float32(std)
        block += np.float32(mean)
        remaining -= block.size
        yield block.astype("<f4", copy=False).tobytes()


def _append_external(tensor: onnx.TensorProto, path: Path, blocks: Iterator[bytes]) -> None:
    """Appends the blocks to the data file and makes the tensor refer to them."""
    from onnx import TensorProto

    with path.open("r+b") as file:
        offset = -(-file.seek(0, 2) // _ALIGNMENT) * _ALIGNMENT
        file.seek(offset)
        length = sum(file.write(block) for block in blocks)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", path.name), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
