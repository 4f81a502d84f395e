"""No token and no password in a message, and no configuration that somebody else has planted."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from bge_onnx.errors import WeightsError
from bge_onnx.types import Listing
from tests.core.fake_mvn import put_mvn_on_path, write_jar
from tests.core.weights_kit import DEAD_URL, MEMBERS, MODEL, TOKENIZER, find, isolate, tiny_spec
from tests.hostile.test_servers import raw_server

_TOKEN = "hf_QwErTyUiOpAsDfGhJkLzXcVbNm"
_PASSWORD = "hun/ter2-Pa55w@rd"


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)


class _Talkative:
    """A repository whose errors say more than they should."""

    name = "store"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def list_files(self, model: str, revision: str) -> Listing:
        del model, revision
        raise self._error

    def fetch_file(self, model: str, commit: str, path: str, target: Path) -> None:
        raise NotImplementedError


def message(tmp_path: Path, *sources: object) -> str:
    with pytest.raises(WeightsError) as caught:
        find(tiny_spec(), cache=tmp_path / "cache", sources=sources)  # type: ignore[arg-type]  # of either kind
    return str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        f"401 for https://user:{_PASSWORD}@store.example/model",
        f"Authorization: Bearer {_TOKEN} was refused",
        f"GET https://store.example/a?X-Signature={_PASSWORD.replace('/', '')}&n=1 gave 403",
        f"no route to http://proxy:{_PASSWORD}@10.0.0.1:3128",
        f"token={_TOKEN}\nTraceback (most recent call last)",
    ],
)
def test_an_error_of_somebodys_repository_keeps_its_secrets(said: str, tmp_path: Path) -> None:
    _check(message(tmp_path, _Talkative(RuntimeError(said))))


@pytest.mark.parametrize("name", ["HF_ENDPOINT", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"])
def test_an_address_with_a_password_is_not_shown(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", _TOKEN)
    monkeypatch.setenv(name, f"http://me:{_PASSWORD}@127.0.0.1:9")
    _check(message(tmp_path, "hub"))


def test_a_server_that_repeats_the_token_does_not_get_it_into_the_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", _TOKEN)
    answer = f"HTTP/1.1 500 No {_TOKEN}\r\nx-error-message: {_TOKEN}\r\ncontent-length: 29\r\n\r\n{_TOKEN}"
    with raw_server(answer.encode()) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        _check(message(tmp_path, "hub"))


def test_what_mvn_says_about_its_mirror_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = f"[ERROR] Could not transfer from mirror (https://me:{_PASSWORD}@mirror.example/maven): 401"
    put_mvn_on_path(monkeypatch, tmp_path / "bin", tmp_path / "none.jar", code=1, output=said)
    _check(message(tmp_path, "maven"))


def _check(said: str) -> None:
    assert "\n" not in said
    for secret in (_TOKEN, _TOKEN[3:], _PASSWORD, _PASSWORD.replace("/", ""), _PASSWORD.partition("@")[0], "ter2"):
        assert secret not in said


# As the start script of mvn does it: the nearest `.mvn` above decides what Java runs with.
_MVN = """#!{python}
import os, pathlib, shutil, sys
folder = pathlib.Path.cwd()
while folder != folder.parent and not (folder / ".mvn").is_dir():
    folder = folder.parent
base = os.environ.get("MAVEN_PROJECTBASEDIR") or os.environ.get("MAVEN_BASEDIR") or folder
for name in ("jvm.config", "maven.config", "extensions.xml"):
    if (pathlib.Path(base) / ".mvn" / name).is_file():
        pathlib.Path({canary!r}).touch()
given = dict(a[2:].split("=", 1) for a in sys.argv[1:] if a.startswith("-D"))
shutil.copy({jar!r}, os.path.join(given["outputDirectory"], "tiny-1.0.jar"))
"""


def test_planted_configuration_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "win32":
        pytest.skip("the fake mvn is a POSIX script")
    jar = write_jar(tmp_path / "tiny.jar", {MEMBERS["onnx/model.onnx"]: MODEL, MEMBERS["tokenizer.json"]: TOKENIZER})
    script, canary = tmp_path / "bin" / "mvn", tmp_path / "canary"
    script.parent.mkdir()
    script.write_text(_MVN.format(python=sys.executable, canary=str(canary), jar=str(jar)))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    monkeypatch.setenv("HF_ENDPOINT", DEAD_URL)
    cache = tmp_path / "cache"
    for place in (tmp_path, cache, cache / "me--tiny"):
        (place / ".mvn").mkdir(parents=True)
        for name in ("jvm.config", "maven.config", "extensions.xml"):
            (place / ".mvn" / name).write_text("-javaagent:evil.jar")
    monkeypatch.setenv("MAVEN_BASEDIR", str(tmp_path))
    monkeypatch.setenv("MAVEN_PROJECTBASEDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert find(tiny_spec(), cache=cache, sources=["maven"]).paths["model"].read_bytes() == MODEL
    assert not canary.exists()
