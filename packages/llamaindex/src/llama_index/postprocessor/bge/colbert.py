"""`BGEColBERTRerank`: bge-m3's late interaction behind LlamaIndex's interface."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Unpack

from llama_index.core.bridge.pydantic import Field, PrivateAttr

from bge_onnx.errors import InputValueError
from bge_onnx.late_interaction import COLBERT, M3Reranker, check_weights
from bge_onnx.settings import DEFAULT_M3, EngineSettings, forward
from llama_index.postprocessor.bge.base import BGERerank, RerankSettings


class ColBERTRerankSettings(RerankSettings, total=False):
    """What `BGEColBERTRerank` takes."""

    weights: Sequence[float]


class BGEColBERTRerank(BGERerank):
    """bge-m3 as a reranker by late interaction, which reads each node once and alone.

    A node's score becomes the mean over the query's tokens of the best match in the node, at most 1; with `weights`,
    the weighted mean of the dense, lexical and this score.

    Raises:
        bge_onnx.errors.UnsuitableModelError: The model gives dense vectors only.
        bge_onnx.BGEError: The model is unknown, or no source delivers its weights.

    Example:
        >>> from llama_index.postprocessor.bge import BGEColBERTRerank
        >>> rerank = BGEColBERTRerank(weights=(0.4, 0.2, 0.4), top_n=3)  # doctest: +SKIP
    """

    weights: list[float] = Field(
        default=list(COLBERT),
        frozen=True,
        description="Of the dense, lexical and ColBERT score; its authors recommend 0.4, 0.2, 0.4 for all three.",
    )

    _reranker: M3Reranker = PrivateAttr()  # type: ignore[assignment]  # what ranks is all that is asked of it

    def __init__(self, model: str | os.PathLike[str] = DEFAULT_M3, **settings: Unpack[ColBERTRerankSettings]) -> None:
        """Check the settings and open the model."""
        if "weights" in settings:  # before pydantic, which would take True for 1.0 and wrap the core's error
            settings["weights"] = list(check_weights(settings["weights"]))
        super().__init__(model, **settings)  # type: ignore[misc]  # `weights` is a field, too

    def _open(self) -> None:
        if self.truncation != "only_second":
            msg = f"BGEColBERTRerank reads no pairs that truncation={self.truncation!r} could cut; leave it out"
            raise InputValueError(msg)
        self._reranker = M3Reranker(self.model, weights=self.weights, **forward(EngineSettings, vars(self)))

    @classmethod
    def class_name(cls) -> str:
        """The name that dumps carry."""
        return "BGEColBERTRerank"
