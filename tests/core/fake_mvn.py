"""An `mvn` for PATH that hands over a prepared jar, or fails the way the real one does."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

_SCRIPT = """#!{python}
import json, os, shutil, sys, time
given = dict(a[2:].split("=", 1) for a in sys.argv[1:] if a.startswith("-D"))
call = {{"arguments": sys.argv[1:], "cwd": os.getcwd(), "held": sorted(os.listdir()), "stdin": sys.stdin.read()}}
json.dump(call, open({record!r}, "w"))
time.sleep({delay})
print({output!r})
if {code} == 0:
    _, artifact, version, kind = given["artifact"].split(":")
    shutil.copy({jar!r}, os.path.join(given["outputDirectory"], f"{{artifact}}-{{version}}.{{kind}}"))
sys.exit({code})
"""


def put_mvn_on_path(
    monkeypatch: pytest.MonkeyPatch, folder: Path, jar: Path, *, code: int = 0, output: str = "", delay: float = 0.0
) -> Path:
    """Make `mvn` a script that copies `jar` or exits with `code`; return the file that records its call."""
    if os.name == "nt":
        pytest.skip("the fake mvn is a POSIX script")
    folder.mkdir(exist_ok=True)
    record = folder / "call.json"
    script = folder / "mvn"
    script.write_text(
        _SCRIPT.format(python=sys.executable, record=str(record), delay=delay, output=output, code=code, jar=str(jar))
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return record


def write_jar(path: Path, members: Mapping[str, bytes]) -> Path:
    """A jar with these members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as jar:
        for name, content in members.items():
            jar.writestr(name, content)
    return path


def recorded(record: Path) -> dict[str, Any]:
    """Arguments, working directory and standard input of the last call."""
    call: dict[str, Any] = json.loads(record.read_text())
    return call
