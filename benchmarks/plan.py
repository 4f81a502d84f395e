"""What a large corpus takes, by model and precision: the table of docs/guides/scale.md, computed from measured rates.

    python benchmarks/plan.py                          # 100 million and 1 billion passages
    python benchmarks/plan.py --rows 5e7 --tokens 220 --rate 48 --cores 32

The rate is passages a second and core of bge-small-en-v1.5 in fp32 at that length; `bge-onnx bench` prints docs/s of
all cores for about 150 tokens. Larger models are taken to be slower by their arithmetic, which is an estimate.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

# docs/s of two cores of an AMD EPYC (Turin) with AVX-512 and VNNI, halved, bge-small-en-v1.5, 155 tokens a passage
# (benchmarks/results/results.md). A CPU second of one thread gave 30.8 and 61.1 (benchmarks/results/scale.md). Spark
# and Ray took some percent beside; `--rate` takes what you have measured.
TOKENS = 155
RATES = {"fp32": 30.6, "int8": 58.0}
# Rows a second that a run reads and digests again when it goes on: JSON Lines of 700 bytes (the same page).
READS = 50_000.0
MACHINE = 32  # cores of one machine
TASK = 200.0  # seconds: how much work one task of Spark, or one batch of Ray, should be
PART = 4096  # rows that `bge-onnx embed` commits together


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


@dataclass(frozen=True)
class Plan:
    """What one corpus takes with one model.

    Attributes:
        rows: Passages.
        rate: Passages a second and core.
        cores: Cores of a machine.
        dimension: Components of a vector.
    """

    rows: float
    rate: float
    cores: int
    dimension: int

    @property
    def core_hours(self) -> float:
        """Of work, without what dies."""
        return self.rows / self.rate / 3600

    @property
    def machines(self) -> float:
        """Machines that are done within a day."""
        return self.core_hours / 24 / self.cores

    @property
    def vectors(self) -> float:
        """Bytes of float32. A join afterwards shuffles as many; embedding itself shuffles nothing."""
        return self.rows * self.dimension * 4

    @property
    def tasks(self) -> float:
        """Tasks of one core and `TASK` seconds."""
        return self.rows / (self.rate * TASK)

    @property
    def lost_with_machine(self) -> float:
        """Rows that are done again when a machine dies, its tasks being half done on average."""
        return self.cores * self.rate * TASK / 2

    @property
    def lost_with_command(self) -> float:
        """Seconds of the whole machine that `bge-onnx embed` loses at most when it is killed."""
        return PART / (self.rate * self.cores)

    @property
    def read_again(self) -> float:
        """Seconds until `bge-onnx embed`, killed at its very end, has read what is done."""
        return self.rows / READS


HEADER = (
    "passages",
    "model",
    "precision",
    "rows/s a core",
    "core hours",
    "machines for a day",
    "vectors, and shuffle of a join",
    "tasks",
    "a dead machine: rows again",
    "a killed command: at most",
    "its restart reads for",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=float, nargs="+", default=[1e8, 1e9], help="passages")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="tokens of a passage")
    parser.add_argument("--rate", type=float, help="docs/s and core of bge-small-en-v1.5 in fp32, at these tokens")
    parser.add_argument("--cores", type=int, default=MACHINE, help="cores of a machine")
    arguments = parser.parse_args()
    print(f"| {' | '.join(HEADER)} |")
    print(f"|{'---|' * len(HEADER)}")
    for rows in arguments.rows:
        for shape in SHAPES:
            for precision, measured in RATES.items():
                at_tokens = measured * SMALL.operations(TOKENS) / SMALL.operations(arguments.tokens)
                if arguments.rate:
                    at_tokens = arguments.rate * measured / RATES["fp32"]
                rate = at_tokens * SMALL.operations(arguments.tokens) / shape.operations(arguments.tokens)
                print(_row(shape.name, precision, Plan(rows, rate, arguments.cores, shape.hidden)))


def _row(name: str, precision: str, plan: Plan) -> str:
    cells = (
        f"{plan.rows / 1e6:,.0f} M",
        name,
        precision,
        f"{plan.rate:.2f}",
        f"{plan.core_hours:,.0f}",
        f"{plan.machines:.1f}",
        f"{plan.vectors / 1e9:,.0f} GB",
        f"{plan.tasks:,.0f}",
        f"{plan.lost_with_machine:,.0f}",
        f"{plan.lost_with_command:.0f} s",
        f"{plan.read_again / 60:,.0f} min",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
