"""The image and the service of the pages: built and run where that is possible, else their steps are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.fake_hub import fake_hub
from tests.core.weights_kit import WHOLE

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "examples" / "docker" / "Dockerfile"
_ANSWER = "0.658  Koalas sleep up to 20 hours a day.\n"


@pytest.fixture
def docker() -> str:
    """A docker that answers."""
    program = shutil.which("docker")
    if program is None:
        pytest.skip("docker is not installed")
    info = subprocess.run([program, "info"], capture_output=True, text=True, timeout=60, check=False)
    if info.returncode:
        pytest.skip(f"docker does not work here: {info.stderr.strip().splitlines()[-1]}")
    return program


@pytest.fixture
def wheels() -> Path:
    """The folder of wheels that is tested."""
    folder = Path(os.environ.get("BGE_WHEELS", ROOT / "dist")).absolute()
    if not list(folder.glob("bge_onnx-*.whl")):
        pytest.skip(f"no wheel of bge-onnx in {folder}: make wheels")
    return folder


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users of the machine may read, as pytest's own are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.weights
def test_the_image_answers_without_network_read_only_and_without_rights(docker: str, wheels: Path) -> None:
    assert wheels == ROOT / "dist"
    build = [docker, "build", "--quiet", "-f", str(DOCKERFILE), str(ROOT)]
    image = subprocess.run(build, capture_output=True, text=True, check=True).stdout.strip()
    command = [docker, "run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", image]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == _ANSWER


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.usefixtures("small_en")
def test_the_steps_of_the_image_answer_from_a_cache_that_nobody_may_write(
    public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the Dockerfile does, without docker: its command, its variables, no network, another user where possible."""
    steps = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    variables = dict(re.findall(r"(BGE_\w+|HF_\w+)=(\S+)", steps))
    places = {"BGE_CACHE": "/opt/bge/cache", "HF_HOME": "/opt/bge/hub"}
    assert variables == {**places, "BGE_SOURCES": "cache", "HF_HUB_OFFLINE": "1"}
    (pull,) = re.findall(r"^RUN (bge-onnx pull .+)$", steps, re.MULTILINE)
    cache = public / "bge"
    for name in ("BGE_SOURCES", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    moved = {name: place.replace("/opt/bge", str(cache)) for name, place in places.items()}
    for name, place in moved.items():
        monkeypatch.setenv(name, place)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    subprocess.run(["bash", "-euc", pull.replace("/opt/bge", str(cache))], check=True, capture_output=True)
    before = _state(cache)
    for path in [cache, *cache.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    app = shutil.copy(ROOT / "examples" / "docker" / "app.py", public)
    run = subprocess.run(
        [*_shut_in(), sys.executable, app],
        env={**variables, **moved, "PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **_without_rights(),
    )
    for path in [cache, *cache.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert (run.stdout, run.returncode) == (_ANSWER, 0), run.stderr
    assert "published one is used" not in run.stderr  # the prepared graph was there
    assert _state(cache) == before


def test_weights_from_the_hub_open_with_the_variables_of_the_image(tmp_path: Path) -> None:
    """What a loopback hub gives the one who builds, with another home folder than the one who runs."""
    image = {"BGE_CACHE": str(tmp_path / "opt" / "cache"), "HF_HOME": str(tmp_path / "opt" / "hub")}
    own = ("BGE_", "HF_", "HUGGING", "TRANSFORMERS_", "XDG_")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    plain = {name: value for name, value in plain.items() if not name.lower().endswith("_proxy")}
    program = "from bge_onnx import Embedder; print(Embedder('me/tiny', pooling='cls').embed_query('a').shape)"
    building = [sys.executable, "-m", "bge_onnx", "pull", "me/tiny", "--prepare"]
    with fake_hub() as hub:
        hub.publish("me/tiny", WHOLE)
        home = {"HOME": str(tmp_path / "root"), "HF_ENDPOINT": hub.url}
        subprocess.run(building, env={**plain, **image, **home}, check=True, capture_output=True, timeout=120)
        asked = len(hub.seen)
        home["HOME"] = str(tmp_path / "app")
        running = {**plain, **image, **home, "BGE_SOURCES": "cache", "HF_HUB_OFFLINE": "1"}
        run = subprocess.run([sys.executable, "-c", program], env=running, capture_output=True, text=True, timeout=120)
        assert (run.stdout, run.returncode) == ("(32,)\n", 0), run.stderr
        assert 0 < asked == len(hub.seen)
        del running["HF_HOME"]
        run = subprocess.run([sys.executable, "-c", program], env=running, capture_output=True, text=True, timeout=120)
    assert "WeightsError" in run.stderr  # without it the weights are the builder's own


@pytest.mark.weights
@pytest.mark.usefixtures("small_en")
def test_the_service_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    testclient = pytest.importorskip("starlette.testclient", reason="starlette is not installed")
    pytest.importorskip("httpx", reason="httpx is not installed")
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "servers"))
    from app import app  # type: ignore[import-not-found]

    client = testclient.TestClient(app)
    assert len(client.post("/query", json={"text": "a question"}).json()["vector"]) == 384
    assert len(client.post("/documents", json={"texts": ["a", "b"]}).json()["vectors"]) == 2
    refused = client.post("/documents", json={"texts": "a"})
    assert refused.status_code == 400
    assert refused.json() == {"error": "expected a list of str, got str; pass [text] for a single text"}


def _shut_in() -> list[str]:
    """A prefix that takes away the network, and the right to write anywhere, as far as the system lets it."""
    read_only = ["sh", "-c", 'mount --bind / / && mount -o remount,bind,ro / && exec "$0" "$@"']
    root = ["unshare", "--mount", "--net", *read_only]
    other = ["unshare", "--net", "--map-root-user"]
    for prefix in (root, other) if shutil.which("unshare") else ():
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
            return prefix
    return []


def _without_rights() -> dict[str, Any]:
    """Another user, if tests run as root and that user may read the interpreter; root's rights mind no permission."""
    other: dict[str, Any] = {"user": "nobody", "extra_groups": []}
    if getattr(os, "geteuid", lambda: 1)():
        return {}
    command = [sys.executable, "-c", "import bge_onnx"]
    try:
        run = subprocess.run(command, capture_output=True, check=False, cwd="/", **other)
    except (OSError, ValueError, KeyError):
        return {}
    return {} if run.returncode or _shut_in() else other


def _state(folder: Path) -> set[tuple[str, int]]:
    return {(str(path.relative_to(folder)), path.stat().st_size) for path in folder.rglob("*") if path.is_file()}
