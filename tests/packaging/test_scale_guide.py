"""The guide to large corpora shows what the program computes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_of_the_guide_is_what_plan_computes() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "plan.py")], capture_output=True, text=True, check=True
    )
    assert done.stdout in (ROOT / "docs" / "guides" / "scale.md").read_text(encoding="utf-8")
