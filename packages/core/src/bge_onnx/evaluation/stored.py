"""Texts with their vectors, read from where indexes are kept: Qdrant, Parquet, `.npy` files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bge_onnx import BGEError, checks
from bge_onnx._cache.place import is_folder
from bge_onnx._shown import shown
from bge_onnx.errors import InputTypeError, InputValueError
from bge_onnx.evaluation._needed import needed
from bge_onnx.types import FloatArray

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

__all__ = ["Stored", "read_npy", "read_parquet", "read_qdrant", "read_stored"]

# Enough to find texts of all kinds in; `check_index` compares a sample of them.
LIMIT = 2048
_PAGE = 256
_LONGEST = 2000  # characters of a path or an address
# Where frameworks keep the text: LangChain, Haystack, LlamaIndex's older stores and everybody else.
_TEXT_FIELDS = ("page_content", "content", "text", "document", "chunk")
_VECTOR_FIELDS = ("embedding", "vector", "embeddings", "vectors")


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """Texts and what is stored for them.

    Attributes:
        texts: n texts.
        vectors: Shape (n, dim), float32.
    """

    texts: list[str]
    vectors: FloatArray


def read_stored(
    source: str | PathLike[str],
    *,
    texts: str | PathLike[str] | None = None,
    collection: str | None = None,
    text_field: str | None = None,
    vector_field: str | None = None,
    limit: int = LIMIT,
) -> Stored:
    """Read from wherever `source` is: an address or a folder of Qdrant, a `.parquet` or a `.npy` file.

    Args:
        source: URL, folder or file.
        texts: For `.npy`: the texts, one a line, or JSON lines.
        collection: For Qdrant: which one; None for the only one.
        text_field: Column, payload key or JSON key of the text; None for one of the usual names.
        vector_field: Column or named vector; None for the only one, or one of the usual names.
        limit: The most entries to read.

    Raises:
        InputValueError: The source is none of these, or a field cannot be told.
        ImportError: qdrant-client or pyarrow is not installed.
    """
    name = _path("source", source)
    collection, text_field, vector_field = _names(collection, text_field, vector_field)
    if name.startswith(("http://", "https://")) or is_folder(Path(name)):
        return read_qdrant(name, collection=collection, text_field=text_field, vector_field=vector_field, limit=limit)
    if name.endswith(".parquet"):
        return read_parquet(name, text_field=text_field, vector_field=vector_field, limit=limit)
    if name.endswith(".npy"):
        if texts is None:
            msg = f"{name} holds vectors alone; pass the file of their texts too, one a line or JSON lines"
            raise InputValueError(msg)
        return read_npy(name, texts, text_field=text_field, limit=limit)
    kinds = "a URL or folder of Qdrant, or a .parquet or .npy file that exists"
    msg = f"{shown(name)} is not an index that can be read; pass {kinds}"
    raise InputValueError(msg)


def read_npy(
    vectors: str | PathLike[str], texts: str | PathLike[str], *, text_field: str | None = None, limit: int = LIMIT
) -> Stored:
    """Read a `.npy` file and the texts beside it.

    Args:
        vectors: Shape (n, dim).
        texts: n lines, or n JSON objects or strings, one a line, if the name ends in `.jsonl`.
        text_field: JSON key of the text; None for one of the usual names.
        limit: The most entries to read, spread evenly.

    Raises:
        InputValueError: There are not as many texts as vectors, or a line has no text.
    """
    check_limit(limit)
    _, text_field, _ = _names(None, text_field, None)
    with _readable(_path("vectors", vectors), "a .npy file of numbers, or is damaged") as place:
        values = np.load(place, mmap_mode="r", allow_pickle=False)
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
            raise ValueError("it does not hold one array of numbers")
    with _readable(_path("texts", texts), "a readable file of texts") as place:
        lines = _lines(Path(place), text_field)
    if values.ndim != 2 or len(lines) != len(values):
        msg = f"{vectors} has the shape {values.shape} and {texts} holds {len(lines)} texts; both must be in step"
        raise InputValueError(msg)
    rows = range(len(lines)) if len(lines) <= limit else _runs(len(lines), limit)
    return Stored([lines[row] for row in rows], np.asarray(values[list(rows)], dtype=np.float32))


def read_parquet(
    path: str | PathLike[str], *, text_field: str | None = None, vector_field: str | None = None, limit: int = LIMIT
) -> Stored:
    """Read the first rows of a Parquet file with a column of texts and one of vectors.

    Raises:
        InputValueError: A column cannot be told.
        ImportError: pyarrow is not installed.
    """
    check_limit(limit)
    _, text_field, vector_field = _names(None, text_field, vector_field)
    parquet = needed("pyarrow.parquet", what="reading Parquet", install="pyarrow")
    with _readable(_path("path", path), "a readable Parquet file") as place, parquet.ParquetFile(place) as file:
        names = file.schema_arrow.names
        text = _chosen(text_field, names, _TEXT_FIELDS, what="text_field", where=str(path))
        vector = _chosen(vector_field, names, _VECTOR_FIELDS, what="vector_field", where=str(path))
        rows = (row for batch in file.iter_batches(_PAGE, columns=[text, vector]) for row in batch.to_pylist())
        return _stored((row[text], row[vector]) for row in islice(rows, limit))


def read_qdrant(
    place: str | PathLike[str] | QdrantClient,
    *,
    collection: str | None = None,
    text_field: str | None = None,
    vector_field: str | None = None,
    limit: int = LIMIT,
) -> Stored:
    """Read the first points of a Qdrant collection.

    What LlamaIndex stores is put together as it embeds it, metadata first.

    Args:
        place: URL of a server, folder of an embedded storage, or an open client.
        collection: Which one; None for the only one.
        text_field: Payload key of the text; None for one of the usual names.
        vector_field: Named vector; None for the only dense one.
        limit: The most points to read.

    Raises:
        InputValueError: Nothing there answers as Qdrant does, or the collection, the text or the vector cannot be told.
        ImportError: qdrant-client is not installed.
    """
    check_limit(limit)
    collection, text_field, vector_field = _names(collection, text_field, vector_field)
    if hasattr(place, "scroll"):
        return _read_client(cast("QdrantClient", place), collection, text_field, vector_field, limit)
    name = _path("place", place)
    qdrant = needed("qdrant_client", what="reading Qdrant", install='"bge-onnx[qdrant]"')
    with _readable(name, "a storage of Qdrant that opens"):
        client = _open_client(name, qdrant)
    try:
        return _read_client(client, collection, text_field, vector_field, limit)
    except qdrant.http.exceptions.ApiException as error:
        msg = f"{name} does not answer as Qdrant does ({' '.join(str(error).split())[:200]}); check the address"
        raise InputValueError(msg) from error
    finally:
        client.close()


def _open_client(name: str, qdrant: ModuleType) -> QdrantClient:
    kind: type[QdrantClient] = qdrant.QdrantClient
    if "://" in name:
        return kind(url=name, check_compatibility=False)  # that check would warn beside the error
    if not Path(name, "meta.json").is_file():  # the client would make an empty storage of whatever folder it is
        msg = f"the folder {name} is not an embedded storage of Qdrant: it has no meta.json; check the path"
        raise InputValueError(msg)
    try:
        return kind(path=name)
    except RuntimeError as error:
        msg = f"{name} cannot be opened ({str(error).splitlines()[0]}); close the program that has it open"
        raise InputValueError(msg) from error


def _read_client(
    client: QdrantClient, collection: str | None, text_field: str | None, vector_field: str | None, limit: int
) -> Stored:
    names = [known.name for known in client.get_collections().collections]
    collection = names[0] if collection is None and len(names) == 1 else collection
    if not names:
        msg = "this Qdrant holds no collection; check the address or the folder"
        raise InputValueError(msg)
    if collection not in names:
        msg = f"collection must be one of {', '.join(map(repr, names))}, got {shown(collection)}"
        raise InputValueError(msg)
    return _stored(islice(_points(client, collection, text_field, vector_field), limit))


def _points(
    client: QdrantClient, collection: str, text_field: str | None, vector_field: str | None
) -> Iterator[tuple[object, object]]:
    offset = None
    while True:
        points, offset = client.scroll(collection, limit=_PAGE, offset=offset, with_payload=True, with_vectors=True)
        for point in points:
            try:
                entry = _payload_text(point.payload or {}, text_field), _point_vector(point.vector, vector_field)
            except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
                if isinstance(error, BGEError):
                    raise
                msg = f"point {shown(point.id)} of {collection!r} cannot be read ({type(error).__name__}: {error})"
                raise InputValueError(msg) from error
            yield entry
        if offset is None:
            return


def _payload_text(payload: Mapping[str, Any], field: str | None) -> object:
    if field is None and "_node_content" in payload:
        return _llama_index_text(json.loads(payload["_node_content"]))
    return payload[_chosen(field, list(payload), _TEXT_FIELDS, what="text_field", where="the payload")]


def _llama_index_text(node: Mapping[str, Any]) -> str:
    """A node's text as LlamaIndex embeds it: `TextNode.get_content(MetadataMode.EMBED)`."""
    hidden = set(node.get("excluded_embed_metadata_keys", ()))
    template = node.get("metadata_template", "{key}: {value}")
    shown = [
        template.format(key=key, value=value) for key, value in node.get("metadata", {}).items() if key not in hidden
    ]
    text = str(node.get("text", ""))
    if not shown:
        return text
    metadata = str(node.get("metadata_separator", "\n")).join(shown)
    whole: str = node.get("text_template", "{metadata_str}\n\n{content}").format(content=text, metadata_str=metadata)
    return whole.strip()


def _point_vector(vector: object, field: str | None) -> object:
    if not isinstance(vector, Mapping):
        return vector
    # ColBERT's are lists of lists, and sparse ones are not lists.
    dense = [
        name for name, value in vector.items() if isinstance(value, list) and value and not isinstance(value[0], list)
    ]
    if field is None and len(dense) == 1:
        return vector[dense[0]]
    if field not in dense:
        msg = f"vector_field must be one of {', '.join(map(repr, dense))}, got {shown(field)}"
        raise InputValueError(msg)
    return vector[field]


def _stored(entries: Iterable[tuple[object, object]]) -> Stored:
    """The entries that have a text and a vector."""
    whole = [(text, vector) for text, vector in entries if isinstance(text, str) and vector is not None]
    if not whole:
        msg = "no entry holds both a text and a vector"
        raise InputValueError(msg)
    texts, vectors = zip(*whole, strict=True)
    try:
        return Stored(list(texts), np.asarray(vectors, dtype=np.float32))
    except (ValueError, TypeError) as error:
        msg = f"the vectors are not numbers of one dimension ({error}); name another vector_field"
        raise InputValueError(msg) from error


def check_limit(limit: object) -> None:
    """Refuse a number of entries that cannot be meant; see `checks.whole` for the error."""
    checks.whole("limit", limit, most=1 << 31)


def _names(collection: object, text_field: object, vector_field: object) -> tuple[str | None, str | None, str | None]:
    """The names as plain texts; see `checks.text` for the errors."""
    return (
        checks.text("collection", collection, none="the only one"),
        checks.text("text_field", text_field, none="one of the usual names"),
        checks.text("vector_field", vector_field, none="the only one"),
    )


def _path(name: str, value: object) -> str:
    """A path or an address as text; see `checks.folder` for the errors."""
    path = checks.folder(name, value)
    if path is None:
        msg = f"{name} must be a path, got None"
        raise InputTypeError(msg)
    if len(path) > _LONGEST:
        msg = f"{name} must be a path, got {shown(path)}, which is too long for one"
        raise InputValueError(msg)
    return path


@contextmanager
def _readable(place: str, what: str) -> Iterator[str]:
    """Say which file it is that cannot be read, and what it should be."""
    try:
        yield place
    except BGEError:
        raise
    except (OSError, ValueError, EOFError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        msg = f"{place} is not {what} ({reason}); check the path and the file"
        raise InputValueError(msg) from error


def _lines(path: Path, field: str | None) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        msg = f"{path} is not valid UTF-8 ({error.reason} at byte {error.start}); convert it"
        raise InputValueError(msg) from error
    if path.suffix != ".jsonl":
        return lines
    return [_json_text(line, field, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def _json_text(line: str, field: str | None, where: str) -> str:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        msg = f"{where} is not JSON ({error}); mend the line"
        raise InputValueError(msg) from error
    found = (
        entry
        if not isinstance(entry, Mapping)
        else entry[_chosen(field, list(entry), _TEXT_FIELDS, what="text_field", where=where)]
    )
    if not isinstance(found, str):
        msg = f"{where} must hold a str as its text, got {type(found).__name__}"
        raise InputValueError(msg)
    return found


def _chosen(asked: str | None, names: Sequence[str], usual: Sequence[str], *, what: str, where: str) -> str:
    known = [name for name in ([asked] if asked is not None else usual) if name in names]
    if not known:
        wanted = " or ".join(usual) if asked is None else shown(asked).strip("'\"")
        msg = f"{where} has no {wanted}; {what} must be one of {', '.join(map(repr, names))}"
        raise InputValueError(msg)
    return known[0]


def _runs(total: int, limit: int) -> list[int]:
    """Rows spread evenly, neighbours in pairs."""
    if limit < 2:
        return [0]
    starts = np.linspace(0, total - 2, limit // 2).astype(int)
    return sorted({row for start in starts for row in (int(start), int(start) + 1)})
