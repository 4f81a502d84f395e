"""A rebuilt float32 graph answers as the original does, or there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper, version_converter

from bge_onnx._graph import UnrecognisedGraph
from bge_onnx._graph.build import Rows
from bge_onnx.testing import write_tiny_model
from bge_onnx.testing._folder import Kind
from tests.core.graph_kit import edited, open_rebuilt, original_output, random_feed, rebuild, run_file

_REFERENCES = ("tiny-bge-en", "tiny-bge-m3", "tiny-bge-reranker")
_OUTPUTS = {
    "embedder": "sentence_embedding",
    "m3": "sentence_embedding",
    "reranker": "logits",
    "bert-reranker": "logits",
}


def assert_rebuilt(path: Path, folder: Path, rows: Rows, output: str) -> None:
    graph = rebuild(path, folder, rows=rows)
    session = open_rebuilt(graph)
    assert graph.output == output == session.get_outputs()[0].name
    assert graph.max_abs_diff <= 1e-5
    for shape in ((1, 1), (4, 37), (2, 200)):
        feed = random_feed(path, shape)
        expected = run_file(path, feed, original_output(path))
        found = session.run(None, feed)[0]
        if rows == "tokens":
            real = feed["attention_mask"].astype(bool)
            expected, found = expected[real], found[real]
        elif expected.ndim == 3:
            expected = expected[:, 0]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["embedder", "m3", "reranker", "bert-reranker"])
@pytest.mark.parametrize("layers", [1, 3])
def test_the_first_row_or_the_logits_are_those_of_the_original(tmp_path: Path, kind: Kind, layers: int) -> None:
    folder = write_tiny_model(tmp_path / kind, kind=kind, layers=layers)
    assert_rebuilt(folder / "onnx" / "model.onnx", tmp_path / "rebuilt", "cls", _OUTPUTS[kind])


@pytest.mark.parametrize("kind", ["embedder", "m3"])
def test_all_rows_are_those_of_the_original(tmp_path: Path, kind: Kind) -> None:
    folder = write_tiny_model(tmp_path / kind, kind=kind)
    assert_rebuilt(folder / "onnx" / "model.onnx", tmp_path / "rebuilt", "tokens", "last_hidden_state")


def test_weights_outside_the_model_file_are_read(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "m3", kind="m3", external_data=True)
    assert_rebuilt(folder / "onnx" / "model.onnx", tmp_path / "rebuilt", "tokens", "last_hidden_state")


@pytest.mark.parametrize("kind", ["embedder", "reranker"])
@pytest.mark.parametrize("opset", [17, 20])
def test_graphs_with_fused_normalisation_and_gelu_are_recognised(tmp_path: Path, kind: Kind, opset: int) -> None:
    folder = write_tiny_model(tmp_path / kind, kind=kind)
    converted, fused = tmp_path / "converted.onnx", tmp_path / "fused.onnx"
    onnx.save_model(version_converter.convert_version(onnx.load(folder / "onnx" / "model.onnx"), opset), converted)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(fused)
    ort.InferenceSession(converted, options, providers=["CPUExecutionProvider"])
    operators = {node.op_type for node in onnx.load(fused).graph.node}
    assert "LayerNormalization" in operators
    assert ("Gelu" in operators) == (opset == 20)
    assert_rebuilt(fused, tmp_path / "rebuilt", "cls", _OUTPUTS[kind])


@pytest.mark.shared
@pytest.mark.parametrize("name", _REFERENCES)
def test_graphs_that_torch_exported_are_recognised(shared: Path, tmp_path: Path, name: str) -> None:
    path = shared / "reference" / name / "onnx" / "model.onnx"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    assert_rebuilt(path, tmp_path / "rebuilt", "cls", "logits" if "reranker" in name else "sentence_embedding")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(UnrecognisedGraph, match="not an ONNX model"):
        rebuild(path, tmp_path / "rebuilt", rows="cls")


def test_inputs_keep_names_types_and_dynamic_axes(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "embedder", kind="embedder")
    session = open_rebuilt(rebuild(folder / "onnx" / "model.onnx", tmp_path / "rebuilt", rows="cls"))
    inputs = {node.name: (node.type, node.shape) for node in session.get_inputs()}
    dynamic = ("tensor(int64)", ["batch", "sequence"])
    assert inputs == dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), dynamic)


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "embedder", kind="embedder") / "onnx" / "model.onnx"
    for number in (1, 2):
        rebuild(path, tmp_path / str(number), rows="cls", precision="int8")
    for name in ("model.onnx", "model.onnx.data"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_classifier_has_no_token_rows_to_give(tiny_reranker: Path, tmp_path: Path) -> None:
    with pytest.raises(UnrecognisedGraph, match="no output for all tokens"):
        rebuild(tiny_reranker / "onnx" / "model.onnx", tmp_path / "rebuilt", rows="tokens")


def _before(graph: onnx.GraphProto, operator: str, consumer: str) -> None:
    """Puts an operator in front of the first input of a node."""
    position, node = next((i, n) for i, n in enumerate(graph.node) if n.name == consumer)
    graph.node.insert(position, helper.make_node(operator, [node.input[0]], ["inserted"], name="inserted"))
    graph.node[position + 1].input[0] = "inserted"


def _node(graph: onnx.GraphProto, name: str) -> onnx.NodeProto:
    found: onnx.NodeProto = next(node for node in graph.node if node.name == name)
    return found


def _extra_tanh(graph: onnx.GraphProto) -> None:
    _before(graph, "Tanh", "/encoder/layer.1/output/dense/MatMul")


def _tanh_for_erf(graph: onnx.GraphProto) -> None:
    _node(graph, "/encoder/layer.0/intermediate/intermediate_act_fn/Erf").op_type = "Tanh"


def _turned_queries(graph: onnx.GraphProto) -> None:
    _before(graph, "Sin", "/encoder/layer.0/attention/self/MatMul")


def _other_scale(graph: onnx.GraphProto) -> None:
    _set(graph, _node(graph, "/encoder/layer.1/attention/self/Div").input[1], np.float32(2.5))


def _no_mask(graph: onnx.GraphProto) -> None:
    node = _node(graph, "/encoder/layer.0/attention/self/Softmax")
    node.input[0] = _node(graph, "/encoder/layer.0/attention/self/Div").output[0]


def _reversed_positions(graph: onnx.GraphProto) -> None:
    _set(graph, _node(graph, "/embeddings/Slice").input[0], np.arange(512)[None, ::-1])


def _set(graph: onnx.GraphProto, constant: str, value: np.ndarray | np.generic) -> None:
    node = next(node for node in graph.node if constant in node.output)
    node.attribute[0].t.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value))))


def _half_precision(graph: onnx.GraphProto) -> None:
    for weight in graph.initializer:
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), weight.name))


def _integers(graph: onnx.GraphProto) -> None:
    graph.node.append(helper.make_node("DynamicQuantizeLinear", ["last_hidden_state"], ["q", "s", "z"]))


def _foreign(graph: onnx.GraphProto) -> None:
    graph.node.append(helper.make_node("FastGelu", ["last_hidden_state"], ["other"], domain="com.microsoft"))


def _more_inputs(graph: onnx.GraphProto) -> None:
    graph.input.append(helper.make_tensor_value_info("position_ids", onnx.TensorProto.INT64, ["batch", "sequence"]))


def _fixed_batch(graph: onnx.GraphProto) -> None:
    graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def _no_last_norm(graph: onnx.GraphProto) -> None:
    graph.output[0].name = _node(graph, "/encoder/layer.1/output/dense/Add").output[0]


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_extra_tanh, "not an erf GELU.*Tanh"),
        (_tanh_for_erf, "not an erf GELU.*Tanh"),
        (_turned_queries, "not one linear map"),
        (_other_scale, "differs from the original by"),
        (_no_mask, "differs from the original by"),
        (_reversed_positions, "differs from the original by"),
        (_half_precision, "float16, not float32"),
        (_integers, "already quantised"),
        (_foreign, r"com\.microsoft\.FastGelu"),
        (_more_inputs, "inputs are .*position_ids"),
        (_fixed_batch, "not both dynamic"),
        (_no_last_norm, "no output holds the rows"),
    ],
)
def test_a_graph_that_is_something_else_is_refused_with_the_reason(
    tiny_embedder: Path, tmp_path: Path, edit: Callable[[onnx.GraphProto], None], reason: str
) -> None:
    path = edited(tiny_embedder / "onnx" / "model.onnx", tmp_path, edit)
    with pytest.raises(UnrecognisedGraph, match=reason) as raised:
        rebuild(path, tmp_path / "rebuilt", rows="cls")
    assert "\n" not in str(raised.value)
