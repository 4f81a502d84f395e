"""What a ranker takes."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from bge_onnx import checks
from bge_onnx.settings import RerankerSettings, Setting
from haystack_integrations.common.bge._inputs import MetadataSettings


class RankerSettings(RerankerSettings, MetadataSettings, total=False):
    """What `BGERanker` takes."""

    top_k: Annotated[
        int | None, Setting(10, "The most documents to return; None for all.", partial(checks.whole, none="all"))
    ]
    scale_score: Annotated[
        bool,
        Setting(
            True,
            "Whether scores are from 0 to 1, the sigmoid of the model's logit, or the logits themselves. The order is "
            "the same.",
            checks.flag,
        ),
    ]
    score_threshold: Annotated[
        float | None,
        Setting(
            None,
            "The least score to return, on the scale that `scale_score` chooses; None for all.",
            partial(checks.number, none="all"),
        ),
    ]
    progress_bar: bool | None


def check_run(top_k: object, scale_score: object, score_threshold: object) -> None:
    """Refuse what `run` cannot use instead of the constructor's; None stands for the latter.

    Raises:
        InputValueError: A value cannot work; the message names the parameter.
    """
    checks.whole("top_k", top_k, none="the constructor's")
    checks.flag("scale_score", scale_score, none="the constructor's")
    checks.number("score_threshold", score_threshold, none="the constructor's")
