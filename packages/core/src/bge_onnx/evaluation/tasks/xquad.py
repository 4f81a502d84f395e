"""XQuADRetrieval, English and Chinese: 240 paragraphs, about 1,180 questions, one paragraph each.

Published for the English models alone: mteb results f4cc6c8b.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from bge_onnx.evaluation.tasks.kinds import Retrieval, RetrievalTask


def _loader(language: str) -> Callable[[Path], Retrieval]:
    def load(data: Path) -> Retrieval:
        """`xquad/xquad.<language>.json` in SQuAD's layout; texts stripped, equal questions once, as in MTEB."""
        content = json.loads((data / "xquad" / f"xquad.{language}.json").read_text(encoding="utf-8"))
        paragraphs = [paragraph for article in content["data"] for paragraph in article["paragraphs"]]
        documents = {str(place): paragraph["context"].strip() for place, paragraph in enumerate(paragraphs)}
        answers: dict[str, str] = {}
        for place, paragraph in enumerate(paragraphs):
            for question in paragraph["qas"]:
                answers.setdefault(question["question"].strip(), str(place))
        numbered = {f"q{number}": question for number, question in enumerate(answers)}
        relevant = {number: {answers[question]: 1} for number, question in numbered.items()}
        return Retrieval(documents=documents, queries=numbered, relevant=relevant)

    return load


ENGLISH = RetrievalTask(
    name="xquad-en",
    title="XQuADRetrieval (en)",
    load=_loader("en"),
    published={
        "BAAI/bge-small-en-v1.5": 95.311,
        "BAAI/bge-base-en-v1.5": 96.139,
        "BAAI/bge-large-en-v1.5": 96.875,
    },
)
CHINESE = RetrievalTask(name="xquad-zh", title="XQuADRetrieval (zh)", load=_loader("zh"))
