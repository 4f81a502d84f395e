"""`BGERerank`: a BGE reranker behind LlamaIndex's interface."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, ClassVar, Unpack

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index_instrumentation import get_dispatcher

from bge_onnx import RankedPassage, Reranker, checks
from bge_onnx.settings import DEFAULT_RERANKER, RerankerSettings, forward
from llama_index.embeddings.bge._settings import RerankerModel, checked
from llama_index.postprocessor.bge._nodes import require, rescored, texts

_dispatcher = get_dispatcher(__name__)


class RerankSettings(RerankerSettings, total=False):
    """What `BGERerank` takes."""

    top_n: int | None
    score_threshold: float | None
    keep_retrieval_score: bool
    callback_manager: CallbackManager


class BGERerank(RerankerModel, BaseNodePostprocessor):
    """A BGE cross-encoder on ONNX Runtime that puts the most relevant nodes first.

    A node's score becomes the sigmoid of the model's logit, from 0 to 1; the order is that of the logits, and equal
    ones keep theirs. Nodes are read as an embedding model reads them. The nodes passed in are left as they are. With
    `truncate="window"`, metadata `relevance_span` says which part of a long node the score is of.

    Args:
        model: Hub id ("BAAI/bge-reranker-base"), catalogue name or local folder.
        **settings: The fields of this class, and those of `bge_onnx.settings.RerankerSettings`.

    Raises:
        bge_onnx.BGEError: A setting cannot work, the model is unknown or no reranker, or no source has it.

    Example:
        >>> from llama_index.core.schema import NodeWithScore, TextNode
        >>> from llama_index.postprocessor.bge import BGERerank
        >>> rerank = BGERerank(model="BAAI/bge-reranker-base", top_n=1)
        >>> texts = "Rust is a programming language.", "Paris is the capital of France."
        >>> nodes = [NodeWithScore(node=TextNode(text=text)) for text in texts]
        >>> rerank.postprocess_nodes(nodes, query_str="Which city is the capital of France?")[0].text
        'Paris is the capital of France.'
    """

    model: str = Field(default=DEFAULT_RERANKER, frozen=True, description="Hub id, catalogue name or local folder.")
    top_n: Annotated[int | None, checked(partial(checks.whole, none="all"))] = Field(
        default=2, ge=1, description="The most nodes to return; None for all."
    )
    score_threshold: Annotated[float | None, checked(partial(checks.number, none="all"))] = Field(
        default=None, ge=0, le=1, description="The least score, from 0 to 1, that is returned; None for all."
    )
    keep_retrieval_score: Annotated[bool, checked(checks.flag)] = Field(
        default=False,
        description="Whether to keep the score a node came with as metadata `retrieval_score`, in no text.",
    )

    _renamed: ClassVar[Mapping[str, str]] = {"top_k": "top_n"}
    _reranker: Reranker = PrivateAttr()

    def __init__(self, model: str | os.PathLike[str] = DEFAULT_RERANKER, **settings: Unpack[RerankSettings]) -> None:
        """Check the settings and open the model."""
        super().__init__(model=model, **settings)

    def _open(self) -> None:
        self._reranker = Reranker(self.model, **forward(RerankerSettings, vars(self)))

    @classmethod
    def class_name(cls) -> str:
        """The name that dumps carry."""
        return "BGERerank"

    def token_length(self, text: str) -> int:
        """Tokens of a text without special tokens."""
        return self._reranker.count_tokens([text], special_tokens=False)[0]

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = require(query_bundle, owner=self.class_name())
        with self._events(nodes, query) as result:
            ranked = self._reranker.rank(
                query.query_str, texts(nodes), top_k=self.top_n, threshold=self.score_threshold
            )
            result += self._picked(nodes, ranked)
        return result

    @_dispatcher.span
    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = require(query_bundle, owner=self.class_name())
        with self._events(nodes, query) as result:
            ranked = await self._reranker.arank(
                query.query_str, texts(nodes), top_k=self.top_n, threshold=self.score_threshold
            )
            result += self._picked(nodes, ranked)
        return result

    @contextmanager
    def _events(self, nodes: list[NodeWithScore], query: QueryBundle) -> Iterator[list[NodeWithScore]]:
        """Announce the start and, whatever happens within, the end; yields the list of results to fill."""
        result: list[NodeWithScore] = []
        top_n = len(nodes) if self.top_n is None else self.top_n
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: self.model,
            EventPayload.QUERY_STR: query.query_str,
            EventPayload.TOP_K: top_n,
        }
        _dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=top_n, model_name=self.model))
        try:
            with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
                yield result
                event.on_end(payload={EventPayload.NODES: result})
        finally:
            _dispatcher.event(ReRankEndEvent(nodes=result))

    def _picked(self, nodes: list[NodeWithScore], ranked: list[RankedPassage]) -> list[NodeWithScore]:
        keep = self.keep_retrieval_score
        return [rescored(nodes[passage.index], passage, keep_retrieval_score=keep) for passage in ranked]
