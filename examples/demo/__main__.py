"""Index English and Chinese paragraphs once, ask through LangChain, LlamaIndex and Haystack, and measure the hits.

`make demo` runs it. The index and the weights stay on disk, so a second run starts where the first one ended.
The same program talks to a Qdrant server: `python -m examples.demo --url http://localhost:6333`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bge_onnx.evaluation.tasks.xquad import ENGLISH as TASK

_ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", help="a Qdrant server; without it the index lies in a folder")
    parser.add_argument("--index", type=Path, default=_ROOT / ".demo" / "qdrant", help="that folder")
    parser.add_argument("--page", type=Path, default=_ROOT / "demo.html", help="the page to write")
    arguments = parser.parse_args()
    published = TASK.published["BAAI/bge-small-en-v1.5"] / 100
    print(
        f"To show: BAAI/bge-small-en-v1.5 reaches the nDCG@10 of {published:.4f} published for XQuAD (en), the same "
        "through LangChain, LlamaIndex and Haystack, without PyTorch.\n",
        flush=True,
    )
    os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")
    # Three frameworks take seconds to import, so the line above goes first.
    from examples.demo.corpus import Store
    from examples.demo.story import run

    if not arguments.url:
        arguments.index.mkdir(parents=True, exist_ok=True)
    verdict, good = run(Store(arguments.url, arguments.index), arguments.page, published)
    print(verdict)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
