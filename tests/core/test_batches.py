"""How far a vector does not depend on its batch: the bound that the READMEs state."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from bge_onnx import Embedder
from bge_onnx.types import Precision

BOUND = 2e-7
TEXTS = [
    "Lisbon",
    "Copper conducts heat better than iron does.",
    "A sonnet has fourteen lines; a haiku has three.",
    "Water boils at a lower temperature on high mountains. " * 4,
    "The museum lends its older maps to schools free of charge. " * 8,
    "我们每天早上八点坐地铁去上班。",
    "",
]
PRECISIONS = [precision for precision in get_args(Precision) if precision in ("fp32", "int8")]


@pytest.mark.weights
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_vector_of_a_batch_is_that_of_the_text_alone_within_the_stated_bound(
    small_en: str, precision: Precision
) -> None:
    embedder = Embedder(small_en, precision=precision)
    batched = Embedder(small_en, precision=precision, token_budget=8192).embed_documents(TEXTS)
    alone = np.concatenate([embedder.embed_documents([text]) for text in TEXTS])
    np.testing.assert_allclose(batched, alone, rtol=0, atol=BOUND)
    np.testing.assert_allclose(embedder.embed_documents(TEXTS), alone, rtol=0, atol=BOUND)
