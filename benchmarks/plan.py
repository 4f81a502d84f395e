"""What a large corpus takes, by model and precision: the table of docs/scale.md, computed from measured rates.

    python benchmarks/plan.py                          # 100 million and 1 billion passages
    python benchmarks/plan.py --rows 5e7 --tokens 220 --rate 48 --cores 32

The rate is passages a second and core of bge-small-en-v1.5 in fp32 at that length: `bge-onnx bench` prints docs/s of
all cores for about 150 tokens. Larger models are taken to be slower by their arithmetic.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

# docs/s of bge-small-en-v1.5 on two cores of an AMD EPYC (Turin), AVX-512 and VNNI, 155 tokens a passage
# (benchmarks/results/results.md): fp32 61.2, int8 116.
TOKENS = 155
CORES = 2
DOCS_PER_S = {"fp32": 61.2, "int8": 116.0}
MACHINE = 32  # cores of one machine


@dataclass(frozen=True)
class Shape:
    """What decides about arithmetic and bytes.

    Attributes:
        name: The model.
        layers: Transformer layers.
        hidden: Width of a token, and components of a vector.
        intermediate: Width of the feed-forward layers.
    """

    name: str
    layers: int
    hidden: int
    intermediate: int

    def operations(self, tokens: int) -> float:
        """Multiply-adds of one passage: four projections, two products of attention, two of the feed-forward."""
        projections = 4 * self.hidden**2 + 2 * self.hidden * self.intermediate
        return self.layers * tokens * (projections + 2 * tokens * self.hidden)


SMALL = Shape("bge-small-en-v1.5", 12, 384, 1536)
SHAPES = (
    SMALL,
    Shape("bge-base-en-v1.5", 12, 768, 3072),
    Shape("bge-large-en-v1.5", 24, 1024, 4096),
    Shape("bge-m3, dense", 24, 1024, 4096),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=float, nargs="+", default=[1e8, 1e9], help="passages")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="tokens of a passage")
    parser.add_argument("--rate", type=float, help="docs/s and core of bge-small-en-v1.5 in fp32, at these tokens")
    parser.add_argument("--cores", type=int, default=MACHINE, help="cores of a machine")
    arguments = parser.parse_args()
    print("| passages | model | precision | docs/s a core | core hours | machines for a day | vectors, float32 |")
    print("|---|---|---|---|---|---|---|")
    for rows in arguments.rows:
        for shape in SHAPES:
            for precision, docs in DOCS_PER_S.items():
                base = docs / CORES * SMALL.operations(TOKENS) / SMALL.operations(arguments.tokens)
                if arguments.rate:
                    base = arguments.rate * docs / DOCS_PER_S["fp32"]
                rate = base * SMALL.operations(arguments.tokens) / shape.operations(arguments.tokens)
                hours = rows / rate / 3600
                machines = hours / 24 / arguments.cores
                size = rows * shape.hidden * 4
                print(
                    f"| {rows / 1e6:,.0f} M | {shape.name} | {precision} | {rate:.2f} | {hours:,.0f} | {machines:.1f} "
                    f"| {size / 1e9:,.0f} GB |"
                )


if __name__ == "__main__":
    main()
