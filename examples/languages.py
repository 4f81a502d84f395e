"""Questions in English and Chinese: a small model for each language, or bge-m3 for all of them.

`python examples/languages.py` sends each question to the index of its language, by the script it is written in.
`python examples/languages.py --multilingual BAAI/bge-m3` asks one index of all languages, which also finds a passage in
another language than the question's. Small models cannot do that: their vectors have nothing in common.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bge_onnx import Embedder, open_embedder
from bge_onnx.types import FloatArray

PASSAGES = {
    "en": [
        "The giant panda eats bamboo for ten to sixteen hours a day.",
        "The Great Wall was built over many centuries.",
        "Tea was first drunk in the south-west of China.",
    ],
    "zh": [
        "大熊猫每天要花十到十六个小时吃竹子。",
        "长城是在许多个世纪里陆续修建的。",
        "茶最早在中国西南地区饮用。",
    ],
}
QUESTIONS = ["What do pandas eat?", "长城是什么时候修建的？"]

# Ideographs, but no kana and no hangul: Japanese and Korean are neither model's language.
_CHINESE = re.compile(r"[\u3400-\u9fff]")
_OTHER = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")


@dataclass(frozen=True)
class Index:
    """Passages and their vectors."""

    embedder: Embedder
    passages: Sequence[str]
    vectors: FloatArray

    @classmethod
    def of(cls, model: str, passages: Sequence[str]) -> Index:
        embedder = open_embedder(model)
        return cls(embedder, passages, embedder.embed_documents(passages))

    def search(self, question: str) -> tuple[float, str]:
        """The best passage, and its cosine."""
        scores = self.vectors @ self.embedder.embed_query(question)
        best = int(np.argmax(scores))
        return float(scores[best]), self.passages[best]


def language_of(text: str) -> str:
    """ "zh" where most letters are Chinese ideographs, else "en"."""
    letters = [letter for letter in text if letter.isalpha()]
    chinese = sum(map(bool, map(_CHINESE.match, letters)))
    return "zh" if 2 * chinese > len(letters) and not _OTHER.search(text) else "en"


def routed(models: Mapping[str, str]) -> Mapping[str, Index]:
    """One index a language."""
    return {language: Index.of(model, PASSAGES[language]) for language, model in models.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    if options.multilingual:
        every = Index.of(options.multilingual, [*PASSAGES["en"], *PASSAGES["zh"]])
        indexes: Mapping[str, Index] = {"en": every, "zh": every}
    else:
        indexes = routed({"en": options.english, "zh": options.chinese})
    for question in QUESTIONS:
        language = language_of(question)
        score, passage = indexes[language].search(question)
        print(f"{question}  [{language}: {indexes[language].embedder.spec.name}]\n  {score:.4f}  {passage}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--english", default="BAAI/bge-small-en-v1.5", help="name or folder")
    parser.add_argument("--chinese", default="BAAI/bge-small-zh-v1.5", help="name or folder")
    parser.add_argument("--multilingual", help="one model for all languages instead, such as BAAI/bge-m3")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
