"""One virtual environment a peer, made from its list of pinned packages and reused until that list changes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
OURS = "ours"


class PeerError(RuntimeError):
    """A peer's environment cannot be made; the message says why."""


def interpreter(name: str, work: Path) -> Path:
    """Returns the Python of the environment called `name`, which is made first if need be.

    Args:
        name: `OURS` for the environment that runs the benchmark, else the stem of a file in `requirements/`.
        work: Folder of the environments.

    Raises:
        PeerError: pip could not install the packages.
    """
    if name == OURS:
        return Path(sys.executable)
    requirements = REQUIREMENTS / f"{name}.txt"
    folder = work / "environments" / name
    python = folder / "bin" / "python"
    marker = folder / "complete"
    state = f"{sys.version}\n{hashlib.sha256(requirements.read_bytes()).hexdigest()}"
    if marker.exists() and marker.read_text(encoding="utf-8") == state:
        return python
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    # The lists are complete, so that a torch without the parts only a GPU needs can be installed: see their comments.
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-cache-dir"]
    _run([*pip, "--requirement", str(requirements)])
    marker.write_text(state, encoding="utf-8")
    return python


def environment(name: str) -> dict[str, str]:
    """Environment variables for a worker: no network, no progress bars, no foreign import paths."""
    variables = dict(os.environ)
    if name != OURS:
        variables.pop("PYTHONPATH", None)
    quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    return variables | quiet | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise PeerError(lines[-1] if lines else f"{command[0]} failed with status {done.returncode}")
