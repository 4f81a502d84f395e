"""What a ranker takes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, TypeAlias

from bge_onnx import checks
from bge_onnx.late_interaction import COLBERT, check_weights
from bge_onnx.settings import M3Settings, RerankerSettings, Setting
from haystack_integrations.common.bge._inputs import MetadataSettings

_TopK: TypeAlias = Annotated[
    int | None, Setting(10, "The most documents to return; None for all.", partial(checks.whole, none="all"))
]
_Threshold: TypeAlias = Annotated[
    float | None,
    Setting(
        None,
        "The least score to return, on the scale of the scores; None for all.",
        partial(checks.number, none="all"),
    ),
]


class RankerSettings(RerankerSettings, MetadataSettings, total=False):
    """What `BGERanker` takes."""

    top_k: _TopK
    scale_score: Annotated[
        bool,
        Setting(
            True,
            "Whether scores are from 0 to 1, the sigmoid of the model's logit, or the logits themselves. The order is "
            "the same.",
            checks.flag,
        ),
    ]
    score_threshold: _Threshold
    progress_bar: bool | None


class ColBERTRankerSettings(M3Settings, MetadataSettings, total=False):
    """What `BGEColBERTRanker` takes."""

    weights: Annotated[
        Sequence[float],
        Setting(
            COLBERT,
            "Of the dense, lexical and ColBERT score; the model's authors recommend (0.4, 0.2, 0.4) for all three.",
            lambda _, value: check_weights(value),
        ),
    ]
    top_k: _TopK
    score_threshold: _Threshold
    progress_bar: bool | None


def check_run(top_k: object, score_threshold: object, scale_score: object = None) -> None:
    """Refuse what `run` cannot use instead of the constructor's; None stands for the latter.

    Raises:
        InputValueError: A value cannot work; the message names the parameter.
    """
    checks.whole("top_k", top_k, none="the constructor's")
    checks.flag("scale_score", scale_score, none="the constructor's")
    checks.number("score_threshold", score_threshold, none="the constructor's")
