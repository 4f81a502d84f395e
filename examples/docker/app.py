"""The smallest service: questions from standard input, or one of its own, and the passage that answers."""

from __future__ import annotations

import sys

from bge_onnx import Embedder

PASSAGES = (
    "Koalas sleep up to 20 hours a day.",
    "The common swift stays in the air for up to ten months.",
    "Eucalyptus grows fast, and its oil burns easily.",
)


def main() -> None:
    embedder = Embedder("BAAI/bge-small-en-v1.5")
    vectors = embedder.embed_documents(PASSAGES)
    questions = [] if sys.stdin.isatty() else [line.strip() for line in sys.stdin if line.strip()]
    for question in questions or ["Which animal sleeps the longest?"]:
        scores = vectors @ embedder.embed_query(question)
        print(f"{scores.max():.3f}  {PASSAGES[int(scores.argmax())]}", flush=True)


if __name__ == "__main__":
    main()
