"""A published ONNX graph as OpenVINO's own files: fp32, int8 with static scales, or int8 weights alone."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from _batches import encode, open_tokenizer, padded
from _protocol import Request


def converted(request: Request, kind: str) -> Path:
    """The file of that kind beside the model's folder, which is made first if need be.

    Args:
        request: Names the model, and the calibration texts for "int8-static".
        kind: "fp32"; "int8-static", by nncf's post-training quantisation for transformers; or "int8-weights", by nncf's
            compression of weights, behind which OpenVINO quantises activations as it runs.
    """
    folder = Path(request.model)
    path = folder.with_name(f"{folder.name}.openvino") / f"{kind}.xml"
    if path.exists():
        return path
    openvino = importlib.import_module("openvino")
    model = openvino.convert_model(folder / "onnx" / "model.onnx")
    if kind != "fp32":
        model = _quantised(model, request, kind)
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_name(f"unfinished-{kind}.xml")
    openvino.save_model(model, unfinished, compress_to_fp16=False)
    unfinished.with_suffix(".bin").rename(path.with_suffix(".bin"))
    unfinished.rename(path)
    return path


def feed(names: frozenset[str], encodings: list[Any], pad: int, *, multiple: int = 1) -> dict[str, Any]:
    """The graph's inputs for one batch; see `padded` for their width."""
    values = {
        "input_ids": padded([each.ids for each in encodings], pad, "int64", multiple=multiple),
        "attention_mask": padded([each.attention_mask for each in encodings], 0, "int64", multiple=multiple),
        "token_type_ids": padded([each.type_ids for each in encodings], 0, "int64", multiple=multiple),
    }
    return {name: value for name, value in values.items() if name in names}


def names_of(model: Any) -> frozenset[str]:  # noqa: ANN401
    """Names of a model's inputs."""
    return frozenset(port.get_any_name() for port in model.inputs)


def _quantised(model: Any, request: Request, kind: str) -> Any:  # noqa: ANN401
    nncf = importlib.import_module("nncf")
    if kind == "int8-weights":
        return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
    texts = json.loads(Path(request.calibration).read_text(encoding="utf-8"))
    config = json.loads((Path(request.model) / "config.json").read_text(encoding="utf-8"))
    names = names_of(model)
    samples = [feed(names, [each], config["pad_token_id"]) for each in encode(open_tokenizer(request), texts)]
    return nncf.quantize(model, nncf.Dataset(samples), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(samples))
