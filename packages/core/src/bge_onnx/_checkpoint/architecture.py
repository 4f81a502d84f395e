"""config.json -> the facts that a forward pass depends on, each of them checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from bge_onnx._shown import shown
from bge_onnx.errors import UnsuitableModelError

Family: TypeAlias = Literal["bert", "xlm-roberta"]
Activation: TypeAlias = Literal["gelu", "gelu_tanh", "relu"]
_Choice = TypeVar("_Choice")

_FAMILIES: Mapping[str, Family] = {"bert": "bert", "xlm-roberta": "xlm-roberta"}
# transformers' names; all of the second kind are 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
_ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}
_PADDING: Mapping[Family, int] = {"bert": 0, "xlm-roberta": 1}
# What `BertConfig` and `XLMRobertaConfig` of transformers suppose where config.json says nothing.
_EPSILON, _TOKEN_TYPES, _ACTIVATION = 1e-12, 2, "gelu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """An encoder without its weights.

    Attributes:
        family: Whose names and positions it has.
        hidden: Width of a row.
        layers: Transformer layers.
        heads: Attention heads in each.
        intermediate: Width inside the feed-forward map.
        positions: Rows of the position table.
        types: Token types.
        vocabulary: Rows of the word table.
        epsilon: Of every layer normalisation.
        activation: Inside the feed-forward map.
        padding_id: The id that XLM-R leaves out when it counts positions.
    """

    family: Family
    hidden: int
    layers: int
    heads: int
    intermediate: int
    positions: int
    types: int
    vocabulary: int
    epsilon: float
    activation: Activation
    padding_id: int

    @classmethod
    def of(cls, config: Mapping[str, Any], path: Path) -> Architecture:
        """Read the facts out of `config`, the content of `path`.

        Raises:
            UnsuitableModelError: It is not an encoder of BERT's or XLM-RoBERTa's kind, or contradicts itself; the
                message names the entry.
        """
        facts = _Facts(config, path)
        family = facts.choice("model_type", _FAMILIES)
        facts.refuse_others()
        hidden, heads = facts.whole("hidden_size"), facts.whole("num_attention_heads")
        if hidden % heads:
            raise facts.error(f"hidden_size {hidden} is not a multiple of num_attention_heads {heads}")
        return cls(
            family=family,
            hidden=hidden,
            layers=facts.whole("num_hidden_layers"),
            heads=heads,
            intermediate=facts.whole("intermediate_size"),
            positions=facts.whole("max_position_embeddings"),
            types=facts.whole("type_vocab_size", default=_TOKEN_TYPES),
            vocabulary=facts.whole("vocab_size"),
            epsilon=facts.epsilon(),
            activation=facts.choice("hidden_act", _ACTIVATIONS, default=_ACTIVATION),
            padding_id=facts.whole("pad_token_id", default=_PADDING[family], least=0),
        )


@dataclass(frozen=True, slots=True)
class _Facts:
    config: Mapping[str, Any]
    path: Path

    def error(self, reason: str) -> UnsuitableModelError:
        return UnsuitableModelError(f"{self.path}: {reason}")

    def choice(self, key: str, known: Mapping[str, _Choice], *, default: str | None = None) -> _Choice:
        value = self.config.get(key, default)
        if not isinstance(value, str) or value not in known:
            raise self.error(f"{key} {shown(value)} is not supported, only {', '.join(known)}")
        return known[value]

    def whole(self, key: str, *, default: int | None = None, least: int = 1) -> int:
        value = self.config.get(key)
        value = default if value is None else value
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**31:
            raise self.error(f"{key} must be a whole number from {least} on, got {shown(value)}")
        return value

    def epsilon(self) -> float:
        value = self.config.get("layer_norm_eps", _EPSILON)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise self.error(f"layer_norm_eps must be a number from 0 to 1, got {shown(value)}")
        return float(value)

    def refuse_others(self) -> None:
        """Things that change what is computed, and that no BGE encoder has."""
        if self.config.get("is_decoder") or self.config.get("add_cross_attention"):
            raise self.error("is_decoder or add_cross_attention is set: a decoder is not supported, only encoders are")
        positions = self.config.get("position_embedding_type", "absolute")
        if positions not in ("absolute", None):
            raise self.error(f"position_embedding_type {shown(positions)} is not supported, only 'absolute'")
