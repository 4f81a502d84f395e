"""`python -m benchmarks.soak [--quick] [--parts downloads kills ...] [--model NAME] [--table]`

Each part runs in a process of its own and leaves a row in `.bench/soak/`; the table is made of all rows that are there.
Ends with status 1 if anything happened that must not.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from datetime import UTC, datetime
from pathlib import Path

from benchmarks._machine import describe
from benchmarks.soak._row import Row, Scale, table

_PARTS = ("downloads", "kills", "files", "texts", "crowds", "forks", "growth")
_ROWS = Path(".bench/soak")
_QUICK = 0.02


def main() -> None:
    """Run the parts that are asked for and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="Long hostile days.")
    parser.add_argument("--quick", action="store_true", help="a fiftieth of everything")
    parser.add_argument("--share", type=float, default=1.0, help="a share of everything, 0 to 1")
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=_PARTS)
    parser.add_argument("--model", help="a real model for the part that watches the memory; else a tiny one")
    parser.add_argument("--table", action="store_true", help="only print the table of the rows that are there")
    parser.add_argument("--part", choices=_PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    scale = _QUICK if options.quick else options.share
    if options.part:
        run_part(options.part, scale, options.model)
        return
    if not options.table:
        for part in options.parts:
            command = [sys.executable, "-m", "benchmarks.soak", "--part", part, "--share", str(scale)]
            command += ["--model", options.model] if options.model else []
            if subprocess.run(command, check=False).returncode:
                Row(part=part, tried="it ended before its time", outcomes={"wrong": 1}).save(_ROWS)
    rows = {
        part: Row(**json.loads(path.read_text()))
        for part in (*_PARTS, "growth-real")
        if (path := _ROWS / f"{part}.json").exists()
    }
    machine = describe()
    print(
        f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_gb']} GB, Python {machine['python']}, "
        f"{datetime.now(UTC):%Y-%m-%d}\n\n{table(rows)}"
    )
    wrong = [f"{row.part}: {what}" for row in rows.values() for what in row.wrong]
    print("\n".join(wrong))
    sys.exit(any(row.outcomes.get("wrong") for row in rows.values()))


def run_part(part: str, share: float, model: str | None) -> None:
    """Run one part in this process and keep its row."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        if model is None:
            os.environ["BGE_CACHE"] = str(Path(scratch) / "own-cache")
        run = importlib.import_module(f"benchmarks.soak.{part}").run
        run(Scale(share=share, model=model, scratch=Path(scratch))).save(_ROWS)


if __name__ == "__main__":
    main()
