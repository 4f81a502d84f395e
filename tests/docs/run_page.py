"""Runs the programs of a page, one after the other, in one process and one folder: python run_page.py page.json

Says nothing if all is as the page shows it; else what differs, and ends with 1.
"""

from __future__ import annotations

import contextlib
import io
import json
import linecache
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any


def main() -> int:
    page = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in page["blocks"]:
        place = f"{page['name']}, line {block['line']}"
        try:
            printed = _shell(block["code"]) if block["language"] == "sh" else _python(block["code"], names, place)
        except BaseException:
            traceback.print_exc()
            sys.stderr.write(f"{place}: does not run\n")
            return 1
        if block["printed"] is not None and not _same(printed, block["printed"]):
            sys.stderr.write(f"{place}: prints\n{printed}\nnot\n{block['printed']}\n")
            return 1
    return 0


def _python(code: str, names: dict[str, Any], place: str) -> str:
    # Dataclasses, pickles and tracebacks look for the source of what they meet.
    linecache.cache[place] = (len(code), None, code.splitlines(keepends=True), place)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, place, "exec"), names)  # noqa: S102  the page's own program
    return printed.getvalue()


def _shell(code: str) -> str:
    run = subprocess.run(["bash", "-euo", "pipefail", "-c", code], capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"exit code {run.returncode}\n{run.stdout}{run.stderr}")
    return run.stdout


def _same(printed: str, shown: str) -> bool:
    """Line by line; a line "..." on the page stands for any number of lines, and "..." in a line for any text."""
    import re

    lines = [re.escape(line.rstrip()).replace(re.escape("..."), ".*") for line in shown.strip("\n").splitlines()]
    pattern = "\n".join(r"(?s:.*)" if line == ".*" else line for line in lines)
    found = "\n".join(line.rstrip() for line in printed.strip("\n").splitlines())
    return re.fullmatch(pattern, found) is not None


if __name__ == "__main__":
    sys.exit(main())
