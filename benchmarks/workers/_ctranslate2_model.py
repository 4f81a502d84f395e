"""A safetensors checkpoint of BERT or XLM-RoBERTa as a CTranslate2 model, without PyTorch."""

from __future__ import annotations

import importlib
import json
import struct
from pathlib import Path
from typing import Any, TypeAlias

Tensors: TypeAlias = dict[str, Any]


def converted(folder: Path, compute_type: str) -> Path:
    """The model's folder beside the checkpoint's, which is made first if need be.

    Weights are stored as `compute_type` computes with them, so that nothing is left to convert when the model opens.
    """
    stored = "" if compute_type in ("default", "float32") else f"-{compute_type}"
    target = folder.with_name(f"{folder.name}.ctranslate2{stored}")
    if target.exists():
        return target
    specs = importlib.import_module("ctranslate2.specs.transformer_spec")
    common = importlib.import_module("ctranslate2.specs.common_spec")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tensors = tensors_of(folder)
    encoder = specs.TransformerEncoderSpec(
        config["num_hidden_layers"],
        config["num_attention_heads"],
        pre_norm=False,
        activation=common.Activation.GELU,
        layernorm_embedding=True,
        num_source_embeddings=2,
        embeddings_merge=common.EmbeddingsMerge.ADD,
    )
    model = specs.TransformerEncoderModelSpec(encoder)
    _fill(encoder, tensors, positions_from=0 if config["model_type"] == "bert" else config["pad_token_id"] + 1)
    model.config.layer_norm_epsilon = config["layer_norm_eps"]
    vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    # Only ids go in, so that the vocabulary need not be in order, just complete.
    pieces = list(vocabulary) if isinstance(vocabulary, dict) else [piece for piece, _ in vocabulary]
    model.config.unk_token = pieces[0]
    spare = range(config["vocab_size"] - len(pieces))
    model.register_vocabulary([*pieces, *(f"<unused {number}>" for number in spare)])
    model.validate()
    if stored:
        model.optimize(quantization=compute_type)
    unfinished = target.with_name(f"{target.name}.part")
    unfinished.mkdir(exist_ok=True)
    model.save(str(unfinished))
    unfinished.rename(target)
    return target


def tensors_of(folder: Path, *, only: str = "") -> Tensors:
    """Tensors of `model.safetensors` as float32, the encoder's without the name of the module around it.

    `only` is what their names begin with; nothing else is read.
    """
    numpy = importlib.import_module("numpy")
    path = folder / "model.safetensors"
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    data = numpy.memmap(path, dtype=numpy.uint8, mode="r", offset=8 + size)
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or not name.startswith(only):
            continue
        start, stop = entry["data_offsets"]
        values = data[start:stop].view(numpy.float32 if entry["dtype"] == "F32" else numpy.float16)
        tensors[name.removeprefix("bert.").removeprefix("roberta.")] = values.reshape(entry["shape"]).astype("float32")
    return tensors


def _fill(encoder: Any, tensors: Tensors, *, positions_from: int) -> None:  # noqa: ANN401
    dense = importlib.import_module("ctranslate2.specs.common_spec").LinearSpec
    utils = importlib.import_module("ctranslate2.converters.utils")

    def linear(spec: Any, name: str) -> Any:  # noqa: ANN401
        spec.weight, spec.bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        return spec

    def norm(spec: Any, name: str) -> None:  # noqa: ANN401
        spec.gamma, spec.beta = tensors[f"{name}.weight"], tensors[f"{name}.bias"]

    encoder.scale_embeddings = False
    encoder.embeddings[0].weight = tensors["embeddings.word_embeddings.weight"]
    encoder.embeddings[1].weight = tensors["embeddings.token_type_embeddings.weight"]
    # XLM-RoBERTa counts positions from behind the id of its padding.
    encoder.position_encodings.encodings = tensors["embeddings.position_embeddings.weight"][positions_from:]
    norm(encoder.layernorm_embedding, "embeddings.LayerNorm")
    for number, layer in enumerate(encoder.layer):
        at = f"encoder.layer.{number}"
        parts = [linear(dense(), f"{at}.attention.self.{part}") for part in ("query", "key", "value")]
        utils.fuse_linear(layer.self_attention.linear[0], parts)
        linear(layer.self_attention.linear[1], f"{at}.attention.output.dense")
        norm(layer.self_attention.layer_norm, f"{at}.attention.output.LayerNorm")
        linear(layer.ffn.linear_0, f"{at}.intermediate.dense")
        linear(layer.ffn.linear_1, f"{at}.output.dense")
        norm(layer.ffn.layer_norm, f"{at}.output.LayerNorm")
