"""What a sentencepiece model file says: its pieces and its table of characters.

The file is a protobuf message, so protobuf reads it; of sentencepiece_model.proto only the fields that are used are
declared (https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from bge_onnx._regular import read_regular
from bge_onnx.errors import UnsuitableModelError

__all__ = ["Piece", "PieceModel", "read_pieces"]

PieceKind: TypeAlias = Literal["normal", "unknown", "control", "user", "unused", "byte"]
_KINDS: Mapping[int, PieceKind] = {1: "normal", 2: "unknown", 3: "control", 4: "user", 5: "unused", 6: "byte"}
_UNIGRAM: Final = 1
_LARGEST: Final = 64 << 20  # bytes; that of bge-m3 has 5 million
_FIRST = ("<unk>", "<s>", "</s>")

_Field = descriptor_pb2.FieldDescriptorProto
_MESSAGES = {
    "Piece": (("piece", 1, _Field.TYPE_STRING), ("score", 2, _Field.TYPE_FLOAT), ("type", 3, _Field.TYPE_INT32)),
    "Trainer": (("model_type", 3, _Field.TYPE_INT32), ("byte_fallback", 35, _Field.TYPE_BOOL)),
    "Normalizer": (("precompiled_charsmap", 2, _Field.TYPE_BYTES), ("add_dummy_prefix", 3, _Field.TYPE_BOOL)),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of the vocabulary."""

    text: str
    score: float
    kind: PieceKind


@dataclass(frozen=True, slots=True)
class PieceModel:
    """A unigram model.

    Attributes:
        pieces: By their id in sentencepiece's own count.
        charsmap: The compiled table of characters to replace; empty for none.
    """

    pieces: tuple[Piece, ...]
    charsmap: bytes


def read_pieces(path: Path) -> PieceModel:
    """Read a `sentencepiece.bpe.model` of XLM-R's kind.

    Raises:
        UnsuitableModelError: The file is none; the message says what it is instead.
    """
    message = _model_class()()
    try:
        message.ParseFromString(read_regular(path, most=_LARGEST))
    except (OSError, DecodeError) as error:
        raise UnsuitableModelError(
            f"{path} is not a sentencepiece model ({error}); replace it by the model's own"
        ) from error
    pieces = tuple(Piece(piece.piece, piece.score, _KINDS.get(piece.type or 1, "unused")) for piece in message.pieces)
    kind = message.trainer_spec.model_type or _UNIGRAM
    if tuple(piece.text for piece in pieces[:3]) != _FIRST or kind != _UNIGRAM or message.trainer_spec.byte_fallback:
        raise UnsuitableModelError(
            f"{path} is not a sentencepiece model of XLM-RoBERTa's kind, which is a unigram model that begins with "
            f"{' '.join(_FIRST)}; save the tokenizer with a tokenizer.json"
        )
    return PieceModel(pieces, message.normalizer_spec.precompiled_charsmap)


@cache
def _model_class() -> Any:  # noqa: ANN401  protobuf makes it
    file = descriptor_pb2.FileDescriptorProto(name="bge_onnx_sentencepiece.proto", package="bge_onnx", syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            message.field.add(name=field, number=number, type=kind, label=_Field.LABEL_OPTIONAL)
    model = file.message_type.add(name="Model")
    for field, number, name, label in (
        ("pieces", 1, "Piece", _Field.LABEL_REPEATED),
        ("trainer_spec", 2, "Trainer", _Field.LABEL_OPTIONAL),
        ("normalizer_spec", 3, "Normalizer", _Field.LABEL_OPTIONAL),
    ):
        model.field.add(name=field, number=number, type=_Field.TYPE_MESSAGE, type_name=f".bge_onnx.{name}", label=label)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("bge_onnx.Model"))
