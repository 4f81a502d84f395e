"""What changes for who comes from another library: its classes with their defaults beside ours, on the same weights.

python benchmarks/migration.py                  # run everything, write benchmarks/results/migration/
python benchmarks/migration.py --write-readmes  # only bring the tables of the READMEs in line with the stored results
"""

from __future__ import annotations

import argparse
from pathlib import Path

import _migration_tables as tables
from _migration_compare import compare, store_vectors
from _migration_peers import EMBEDDERS, RERANKERS
from _migration_run import embed, embedding_weights, rerank, reranker_weights

_ROOT = Path(__file__).resolve().parents[1]
_MODELS = ("BAAI/bge-small-en-v1.5", "BAAI/bge-small-zh-v1.5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=_ROOT / ".bench", help="environments, models and answers")
    parser.add_argument("--write-readmes", action="store_true", help="no measurement: results into the READMEs")
    arguments = parser.parse_args()
    if not arguments.write_readmes:
        _measure(arguments.work.resolve())
    for path in tables.write_readmes(_ROOT, tables.load(_ROOT)):
        print(path)


def _measure(work: Path) -> None:
    answers = []
    for name in _MODELS:
        weights = embedding_weights(name, work / "migration")
        english = name == _MODELS[0]
        for peer in EMBEDDERS:
            if not (english or peer.by_language):
                continue
            for given in peer.given if english else peer.given[:1]:
                print(peer.key, given, name, flush=True)
                answers.append((peer, given, weights, embed(peer, given, weights, work)))
    ranker = reranker_weights(work / "migration")
    scores = []
    for peer in RERANKERS:
        print(peer.key, flush=True)
        scores.append((peer, *(rerank(peer, ranker, work, long=long) for long in (False, True))))
    store_vectors(_ROOT, answers)
    tables.store(_ROOT, compare(answers, ranker, scores))


if __name__ == "__main__":
    main()
