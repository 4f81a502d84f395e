"""What a hybrid store takes."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from haystack.utils import Secret

from bge_onnx import checks
from bge_onnx.errors import InputTypeError
from bge_onnx.settings import M3Settings, Setting
from haystack_integrations.common.bge._inputs import MetadataSettings


def _secret(name: str, value: object) -> Secret | None:
    if value is not None and not isinstance(value, Secret):
        msg = f"{name} must be a haystack.utils.Secret, or None for none, got {type(value).__name__}"
        raise InputTypeError(msg)
    return value


_place = partial(checks.filled, none="the next of location, url and path")


class HybridStoreSettings(M3Settings, MetadataSettings, total=False):
    """What `BGEHybridDocumentStore` takes, Qdrant's own settings under the names of `QdrantDocumentStore`."""

    index: Annotated[str, Setting("Document", "Name of the collection.", checks.text)]
    location: Annotated[str | None, Setting(None, '":memory:", or the URL of a server.', _place)]
    url: Annotated[str | None, Setting(None, "The URL of a server.", _place)]
    path: Annotated[str | None, Setting(None, "The folder of Qdrant in this process.", _place)]
    api_key: Annotated[Secret | None, Setting(None, "Of the server.", _secret)]
    progress_bar: bool | None
