"""What components accept, and how documents become the texts that models read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

from haystack import Document

from bge_onnx.errors import InputTypeError, InputValueError


def check_text(text: object, *, component: str, hint: str = "") -> None:
    """Refuse what is no text, before any work.

    Args:
        text: What the caller passed.
        component: Name of the component that refuses it.
        hint: What to do instead.

    Raises:
        InputTypeError: It is no str.
    """
    if not isinstance(text, str):
        msg = f"{component} expects a str, got {type(text).__name__}{hint}"
        raise InputTypeError(msg)


def check_documents(documents: object, *, component: str, hint: str = "") -> None:
    """Refuse what is no list of Documents, before any work.

    Args:
        documents: What the caller passed.
        component: Name of the component that refuses it.
        hint: What to do instead.

    Raises:
        InputTypeError: It is no list of Documents; the message names the position.
    """
    if not isinstance(documents, (list, tuple)):
        msg = f"{component} expects a list of Documents, got {type(documents).__name__}{hint}"
        raise InputTypeError(msg)
    for position, document in enumerate(documents):
        if not isinstance(document, Document):
            msg = f"{component} expects a list of Documents, got {type(document).__name__} at position {position}{hint}"
            raise InputTypeError(msg)


def check_top_k(top_k: object) -> None:
    """Refuse a number of results that cannot be meant.

    Raises:
        InputValueError: It is neither None nor a whole number of at least 1.
    """
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
        msg = f"top_k must be a whole number of at least 1, got {top_k!r}"
        raise InputValueError(msg)


def check_score_threshold(threshold: object) -> None:
    """Refuse a threshold that no score can be compared with.

    Raises:
        InputValueError: It is neither None nor a number, or NaN.
    """
    if threshold is None:
        return
    if isinstance(threshold, bool) or not isinstance(threshold, Real) or math.isnan(threshold):
        msg = f"score_threshold must be a number, the least score to return, or None for all, got {threshold!r}"
        raise InputValueError(msg)


def document_texts(
    documents: Sequence[Document],
    *,
    meta_fields: Sequence[str] | None,
    separator: str,
    prefix: str = "",
    suffix: str = "",
) -> list[str]:
    """The text of each document, by the rule of all Haystack embedders and rankers.

    Args:
        documents: The documents.
        meta_fields: Metadata that precede the content; those that a document lacks, or that are None, are left out.
        separator: What stands between the parts.
        prefix: What precedes everything.
        suffix: What follows everything.
    """
    texts = []
    for document in documents:
        meta = [str(document.meta[name]) for name in meta_fields or () if document.meta.get(name) is not None]
        texts.append(prefix + separator.join([*meta, document.content or ""]) + suffix)
    return texts
