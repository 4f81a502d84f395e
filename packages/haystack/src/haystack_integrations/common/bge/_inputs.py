"""What components accept, and how documents become the texts that models read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, NoReturn, TypedDict

from haystack import Document
from haystack.document_stores.types import DuplicatePolicy

from bge_onnx import checks
from bge_onnx.errors import InputTypeError
from bge_onnx.settings import Setting


class MetadataSettings(TypedDict, total=False):
    """The parameters by which metadata precede the content of a document."""

    meta_fields_to_embed: Annotated[
        list[str] | None,
        Setting(
            None,
            "Metadata that precede the content, in this order; missing ones are left out.",
            partial(checks.names, none="none"),
        ),
    ]
    embedding_separator: Annotated[str, Setting("\n", "What stands between metadata and content.", checks.text)]


def check_text(text: object, *, component: str, hint: str = "") -> None:
    """Refuse what is not a text, before any work.

    Args:
        text: What the caller passed.
        component: Name of the component that refuses it.
        hint: What to do instead.

    Raises:
        InputTypeError: It is not a str.
    """
    if not isinstance(text, str):
        _refuse(component, "a str", text, hint)


def check_documents(documents: object, *, component: str, hint: str = "") -> None:
    """Refuse what is not a list of Documents, before any work; see `check_text` for the arguments.

    Raises:
        InputTypeError: It is not a list of Documents; the message names the position.
    """
    if not isinstance(documents, (list, tuple)):
        _refuse(component, "a list of Documents", documents, hint)
    for position, document in enumerate(documents):
        if not isinstance(document, Document):
            _refuse(component, "a list of Documents", document, f" at position {position}{hint}")


def check_write(documents: object, policy: object, *, component: str) -> None:
    """Refuse what is not documents, or not Haystack's policy, such as its name, which would be taken for FAIL.

    Raises:
        InputTypeError: It is not; the message names the position of a document.
    """
    check_documents(documents, component=component)
    if not isinstance(policy, DuplicatePolicy):
        msg = f"policy must be a DuplicatePolicy, such as DuplicatePolicy.SKIP, got {type(policy).__name__}"
        raise InputTypeError(msg)


def _refuse(component: str, expected: str, got: object, hint: str) -> NoReturn:
    msg = f"{component} expects {expected}, got {'None' if got is None else type(got).__name__}{hint}"
    raise InputTypeError(msg)


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
