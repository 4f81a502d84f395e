"""Whole model folders with random weights, laid out as a snapshot from the hub is."""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from bge_onnx import checks
from bge_onnx._shown import shown
from bge_onnx.errors import InputTypeError, InputValueError
from bge_onnx.testing._builder import GraphBuilder
from bge_onnx.testing._network import NetworkShape, classifier, encoder, sentence_embedding
from bge_onnx.testing._tokenizer import bert_tokenizer, xlmr_tokenizer
from bge_onnx.testing._torch_file import write_linear

Kind: TypeAlias = Literal["embedder", "reranker", "bert-reranker", "m3"]

ENGLISH_INSTRUCTION = "Represent this sentence for searching relevant passages: "

_ARCHITECTURES: Mapping[Kind, str] = {
    "embedder": "BertModel",
    "reranker": "XLMRobertaForSequenceClassification",
    "bert-reranker": "BertForSequenceClassification",
    "m3": "XLMRobertaModel",
}
_PROTOBUF_LIMIT = 2**31
# Larger ones are slips of the keyboard.
_LARGEST_SIZE, _LARGEST_VOCABULARY = 1 << 20, 10_000_000
_LONGEST_PATH = 2000


def write_tiny_model(
    folder: str | os.PathLike[str],
    *,
    kind: Kind = "embedder",
    layers: int = 2,
    hidden: int = 32,
    heads: int = 4,
    intermediate: int = 64,
    vocabulary: int | Sequence[str] | None = None,
    max_tokens: int = 512,
    seed: int = 0,
    query_instruction: str | None = ENGLISH_INSTRUCTION,
    external_data: bool = False,
) -> Path:
    """Writes a model with random weights as a hub snapshot is laid out, to test without a download.

    The graph has the operators of published exports (opset 14) and dynamic batch and sequence axes. Equal arguments
    give equal files. Vectors of different texts differ clearly, unlike those of a network initialised for training, but
    they mean nothing. Any size works: `layers=12, hidden=384, heads=12, intermediate=1536, vocabulary=30522` is that of
    bge-small-en-v1.5.

    Args:
        folder: Where the files go; made if absent.
        kind: "embedder" is BERT with the output `last_hidden_state`; "reranker" is XLM-RoBERTa and "bert-reranker" BERT
            with `logits` [batch, 1]; "m3" is XLM-RoBERTa with `token_embeddings`, `sentence_embedding` and the two
            `.pt` heads.
        layers: Transformer layers.
        hidden: Components of a vector, a multiple of `heads`.
        heads: Attention heads.
        intermediate: Width of the feed-forward layers.
        vocabulary: None for every ASCII character, some hundred English words and Chinese characters; a number to cut
            that list or fill it up with made-up words; or the words to know whole, besides the characters.
        max_tokens: The longest input, special tokens included.
        seed: Seed of the weights.
        query_instruction: Stands in `config_sentence_transformers.json` of an embedder; None leaves that file out.
        external_data: Puts the weights into `onnx/model.onnx_data`, which models beyond 2 GiB need.

    Returns:
        `folder`.

    Raises:
        InputValueError: `hidden` is not a multiple of `heads`, a number is not positive, the vocabulary is too small
            for the characters, or the model needs `external_data=True`.
    """
    place = Path(_checked_folder(folder))
    checks.choice("kind", kind, allowed=get_args(Kind))
    sizes = {"layers": layers, "hidden": hidden, "heads": heads, "intermediate": intermediate, "max_tokens": max_tokens}
    whole = {name: checks.whole(name, size, most=_LARGEST_SIZE) or 0 for name, size in sizes.items()}
    checks.whole("seed", seed, least=0)
    if isinstance(vocabulary, list | tuple):
        words: int | list[str] | None = checks.names("vocabulary", vocabulary)
    else:
        words = checks.whole("vocabulary", vocabulary, none="some hundred words", most=_LARGEST_VOCABULARY)
    checks.text("query_instruction", query_instruction, none="no file of prompts")
    checks.flag("external_data", external_data)
    bert = kind in ("embedder", "bert-reranker")
    tokenizer = (bert_tokenizer if bert else xlmr_tokenizer)(words)
    shape = NetworkShape(
        family="bert" if bert else "xlm-roberta",
        layers=whole["layers"],
        hidden=whole["hidden"],
        heads=whole["heads"],
        intermediate=whole["intermediate"],
        vocabulary=len(tokenizer["model"]["vocab"]),
        positions=whole["max_tokens"] if bert else whole["max_tokens"] + 2,
        segments=2 if bert else 1,
        pad=0 if bert else 1,
        epsilon=1e-12 if bert else 1e-5,
    )
    _check(shape, external_data=external_data)
    (place / "onnx").mkdir(parents=True, exist_ok=True)
    _write_json(place / "tokenizer.json", tokenizer)
    _write_json(place / "tokenizer_config.json", _tokenizer_config(bert=bert, max_tokens=whole["max_tokens"]))
    _write_json(place / "config.json", _config(shape, kind))
    if kind in ("embedder", "m3"):
        (place / "1_Pooling").mkdir(exist_ok=True)
        _write_json(place / "1_Pooling" / "config.json", _pooling(shape.hidden))
    if kind == "embedder" and query_instruction is not None:
        prompts = {"query": query_instruction, "document": ""}
        _write_json(place / "config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": None})
    if kind == "m3":
        _write_heads(place, shape.hidden, seed=seed)
    graph = GraphBuilder(place / "onnx" / "model.onnx", seed=seed, external_data=external_data)
    graph.save(shape.inputs, _network(graph, shape, kind))
    return place


def _checked_folder(folder: object) -> str:
    path = checks.folder("folder", folder)
    if path is None or len(path) > _LONGEST_PATH:
        raise InputTypeError(f"folder must be a path, got {shown(folder)}")
    return path


def _check(shape: NetworkShape, *, external_data: bool) -> None:
    if shape.hidden % shape.heads:
        raise InputValueError(f"hidden={shape.hidden} must be a multiple of heads={shape.heads}")
    if 4 * shape.parameters >= _PROTOBUF_LIMIT and not external_data:
        raise InputValueError("a model beyond 2 GiB does not fit into one ONNX file; pass external_data=True")


def _network(graph: GraphBuilder, shape: NetworkShape, kind: Kind) -> dict[str, tuple[str | int, ...]]:
    """Appends the whole network and returns names and shapes of its outputs."""
    per_token = ("batch", "sequence", shape.hidden)
    if kind == "embedder":
        return {encoder(graph, shape, output="last_hidden_state"): per_token}
    if kind == "m3":
        tokens = encoder(graph, shape, output="token_embeddings")
        return {tokens: per_token, sentence_embedding(graph, tokens): ("batch", shape.hidden)}
    tokens = encoder(graph, shape, prefix="bert" if kind == "bert-reranker" else "roberta")
    return {classifier(graph, shape, tokens): ("batch", 1)}


def _config(shape: NetworkShape, kind: Kind) -> dict[str, Any]:
    config = {
        "architectures": [_ARCHITECTURES[kind]],
        "attention_probs_dropout_prob": 0.1,
        "dtype": "float32",
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "layer_norm_eps": shape.epsilon,
        "max_position_embeddings": shape.positions,
        "model_type": shape.family,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "pad_token_id": shape.pad,
        "type_vocab_size": shape.segments,
        "vocab_size": shape.vocabulary,
    }
    if shape.family == "xlm-roberta":
        config |= {"bos_token_id": 0, "eos_token_id": 2}
    if kind in ("reranker", "bert-reranker"):
        config |= {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    return config


def _tokenizer_config(*, bert: bool, max_tokens: int) -> dict[str, Any]:
    if bert:
        names = {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"}
        config: dict[str, Any] = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    else:
        special = {"bos": "<s>", "eos": "</s>", "sep": "</s>", "cls": "<s>"}
        names = {**special, "unk": "<unk>", "pad": "<pad>", "mask": "<mask>"}
        config = {"tokenizer_class": "XLMRobertaTokenizer"}
    return {**config, "model_max_length": max_tokens, **{f"{name}_token": token for name, token in names.items()}}


def _pooling(hidden: int) -> dict[str, Any]:
    modes = ("mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
    off = {f"pooling_mode_{mode}": False for mode in modes}
    return {"word_embedding_dimension": hidden, "pooling_mode_cls_token": True, **off}


def _write_heads(folder: Path, hidden: int, *, seed: int) -> None:
    """Writes the lexical and the ColBERT head; about half of the lexical weights come out above zero."""
    for name, rows in (("sparse_linear", 1), ("colbert_linear", hidden)):
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        weight = generator.standard_normal((rows, hidden), dtype=np.float32) / np.float32(math.sqrt(hidden))
        bias: NDArray[np.float32] = generator.standard_normal(rows, dtype=np.float32) * np.float32(0.05)
        write_linear(folder / f"{name}.pt", weight, bias)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")
