"""A BGE model as an encoder of `mteb`, for all of MTEB and C-MTEB.

`mteb` comes from elsewhere (`pip install mteb`, which brings PyTorch):

    import mteb
    from bge_onnx import Embedder
    from bge_onnx.evaluation.mteb import MTEBEncoder

    encoder = MTEBEncoder(Embedder("BAAI/bge-small-en-v1.5", truncate="silent"))
    mteb.evaluate(encoder, mteb.get_benchmark("MTEB(eng, v2)"))   # or "MTEB(cmn, v1)", which is C-MTEB

mteb fetches the data itself. The published C-MTEB scores of bge-small-zh-v1.5 were made without instruction; pass
`Embedder(..., query_instruction="")` to compare with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bge_onnx import Embedder
from bge_onnx.types import FloatArray

if TYPE_CHECKING:
    from mteb.models import ModelMeta

__all__ = ["MTEBEncoder"]

# mteb writes languages as ISO 639-3 and ISO 15924.
_LANGUAGES = {"en": "eng-Latn", "zh": "zho-Hans"}


class MTEBEncoder:
    """What mteb expects of an encoder, over an open `Embedder`.

    Queries, as mteb names them by prompt type, carry the model's query instruction; everything else does not.

    Args:
        embedder: The model, open, at length 1.
        revision: Under what mteb files the results; None for the commit of the weights.
    """

    def __init__(self, embedder: Embedder, *, revision: str | None = None) -> None:
        self._embedder = embedder
        self._meta = _meta(embedder, revision)

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """What mteb wants to know of the model."""
        return self._meta

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        prompt_type: object = None,
        **_: object,  # the task's metadata, split and subset, a batch size: a BGE model has one way for all tasks
    ) -> FloatArray:
        """Vectors of the texts.

        Args:
            inputs: mteb's batches, each with its texts under "text".
            prompt_type: mteb's `PromptType`, "query" or "document"; None where texts are neither.

        Returns:
            Shape (n, dim), float32.
        """
        texts = [text for batch in inputs for text in batch["text"]]
        if getattr(prompt_type, "value", prompt_type) == "query":
            return self._embedder.embed_queries(texts)
        return self._embedder.embed_documents(texts)

    def similarity(self, first: npt.ArrayLike, second: npt.ArrayLike) -> FloatArray:
        """Cosines of all pairs, shape (n, m)."""
        return np.asarray(np.atleast_2d(_array(first)) @ np.atleast_2d(_array(second)).T)

    def similarity_pairwise(self, first: npt.ArrayLike, second: npt.ArrayLike) -> FloatArray:
        """Cosines of the pairs in step, shape (n,)."""
        return np.asarray(np.einsum("nd,nd->n", np.atleast_2d(_array(first)), np.atleast_2d(_array(second))))


def _array(vectors: npt.ArrayLike) -> FloatArray:
    return np.asarray(vectors, dtype=np.float32)


def _meta(embedder: Embedder, revision: str | None) -> ModelMeta:
    try:
        from mteb.models import ModelMeta
    except ImportError as error:
        msg = "MTEBEncoder needs mteb; pip install mteb"
        raise ImportError(msg) from error
    spec = embedder.spec
    commit = spec.weights[0].revision if spec.weights else None
    languages = [_LANGUAGES[language] for language in spec.languages if language in _LANGUAGES]
    return ModelMeta(
        loader=None,
        name=spec.name if "/" in spec.name else f"local/{spec.name}",
        revision=revision or commit or "main",
        release_date=None,
        languages=languages or None,
        n_parameters=spec.parameters,
        memory_usage_mb=None,
        max_tokens=float(embedder.max_length),
        embed_dim=spec.dimension,
        license=spec.license.lower() or None,
        open_weights=True,
        public_training_code=None,
        public_training_data=None,
        framework=["ONNX"],
        similarity_fn_name="cosine",
        use_instructions=bool(spec.query_instruction),
        training_datasets=None,
    )
