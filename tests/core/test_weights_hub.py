from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bge_onnx import ModelSpec
from bge_onnx._repository import hub as _hub
from bge_onnx._repository.files import ModelFiles
from bge_onnx._repository.search import fetch
from bge_onnx.errors import WeightsError
from tests.core.fake_hub import Behaviour, FakeHub, fake_hub
from tests.core.weights_kit import FILES, MODEL, REVISION, TOKENIZER, entry, external_model, isolate, sha256, tiny_spec


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with fake_hub() as hub:
        hub.publish("me/tiny", REVISION, FILES)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hub, "_PATIENCE", 0.5)
    monkeypatch.setattr(_hub, "_SILENCE", 0.6)
    monkeypatch.setattr(_hub, "_PAUSE", 0.01)


def _fetch(tmp_path: Path, spec: ModelSpec | None = None) -> ModelFiles:
    return fetch(
        spec or tiny_spec(), "fp32", folder=None, cache_dir=tmp_path / "cache", sources=["hub"], show_progress=False
    )


@pytest.mark.usefixtures("hub")
def test_every_file_arrives_verified(tmp_path: Path) -> None:
    files = _fetch(tmp_path)
    assert files.paths["model"].read_bytes() == MODEL
    assert files.paths["tokenizer"].read_bytes() == TOKENIZER
    assert files.digests == {"model": sha256(MODEL), "tokenizer": sha256(TOKENIZER)}
    assert files.source == "hub me/tiny@0123456789ab"
    assert files.folder == entry(tmp_path / "cache")


def test_a_second_search_asks_the_hub_nothing(hub: FakeHub, tmp_path: Path) -> None:
    _fetch(tmp_path)
    before = len(hub.seen)
    assert _fetch(tmp_path).source == "cache (from hub me/tiny@0123456789ab)"
    assert len(hub.seen) == before


@pytest.mark.usefixtures("hub")
def test_a_model_without_digests_gets_those_of_what_arrived(tmp_path: Path) -> None:
    assert _fetch(tmp_path, tiny_spec(verified=False)).digests["model"] == sha256(MODEL)


def test_a_model_without_weights_is_looked_for_in_the_common_layout(hub: FakeHub, tmp_path: Path) -> None:
    hub.publish("me/other", "main", FILES)
    spec = ModelSpec(name="me/other", dimension=8, query_instruction="")
    assert _fetch(tmp_path, spec).paths["model"].read_bytes() == MODEL


def test_external_data_that_no_spec_names_is_fetched_too(hub: FakeHub, tmp_path: Path) -> None:
    made = external_model(tmp_path / "made").parent
    files = {f"onnx/{path.name}": path.read_bytes() for path in made.iterdir()}
    hub.publish("me/external", "main", {**files, "tokenizer.json": TOKENIZER})
    found = _fetch(tmp_path, ModelSpec(name="me/external", dimension=8, query_instruction=""))
    assert {path.name for path in found.paths["model"].parent.iterdir()} == {path.name for path in made.iterdir()}
    assert "data" in found.digests


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_final_at_once(hub: FakeHub, tmp_path: Path, status: int) -> None:
    hub.behaviour = status
    with pytest.raises(WeightsError, match=f"HTTP {status}"):
        _fetch(tmp_path)
    assert len(hub.seen) == 1


def test_a_missing_file_is_named(hub: FakeHub, tmp_path: Path) -> None:
    del hub.files[f"/me/tiny/resolve/{REVISION}/onnx/model.onnx"]
    with pytest.raises(WeightsError, match=r"onnx/model\.onnx answered HTTP 404"):
        _fetch(tmp_path)


@pytest.mark.usefixtures("_hasty")
def test_a_server_error_is_tried_twice(hub: FakeHub, tmp_path: Path) -> None:
    hub.behaviour = 503
    with pytest.raises(WeightsError, match="HTTP 503"):
        _fetch(tmp_path)
    assert len(hub.seen) == 2


@pytest.mark.usefixtures("_hasty")
def test_a_truncated_body_is_no_file(hub: FakeHub, tmp_path: Path) -> None:
    hub.behaviour = "truncated"
    with pytest.raises(WeightsError, match="broke off"):
        _fetch(tmp_path, tiny_spec(verified=False))
    assert not entry(tmp_path / "cache").exists()


@pytest.mark.usefixtures("_hasty")
def test_a_download_that_breaks_off_is_resumed(hub: FakeHub, tmp_path: Path) -> None:
    hub.behaviour, hub.victims = "drops once", "model.onnx"
    assert _fetch(tmp_path).paths["model"].read_bytes() == MODEL
    asked = [seen for seen in hub.seen if seen.path.endswith("model.onnx")]
    assert ["range" in seen.headers for seen in asked] == [False, True]


def test_wrong_bytes_are_refused(hub: FakeHub, tmp_path: Path) -> None:
    hub.behaviour = "wrong"
    with pytest.raises(WeightsError, match="wrong content: sha256"):
        _fetch(tmp_path)
    assert not entry(tmp_path / "cache").exists()


def test_more_bytes_than_announced_are_refused(hub: FakeHub, tmp_path: Path) -> None:
    hub.publish("me/tiny", REVISION, {"onnx/model.onnx": MODEL + b"more"})
    with pytest.raises(WeightsError, match="larger than"):
        _fetch(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", ["stalls", 500])
def test_a_hub_that_does_not_work_costs_seconds(hub: FakeHub, tmp_path: Path, behaviour: Behaviour) -> None:
    hub.behaviour = behaviour
    started = time.monotonic()
    with pytest.raises(WeightsError, match=r"did not answer within|HTTP 500"):
        _fetch(tmp_path)
    assert time.monotonic() - started < 10


@pytest.mark.usefixtures("_hasty")
def test_a_hub_that_stalls_halfway_is_given_up(hub: FakeHub, tmp_path: Path) -> None:
    hub.behaviour = "stalls halfway"
    with pytest.raises(WeightsError, match="broke off"):
        _fetch(tmp_path)


def test_a_hub_that_refuses_connections_costs_seconds(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(WeightsError, match="cannot be reached"):
        _fetch(tmp_path)
    assert time.monotonic() - started < 10


@pytest.mark.usefixtures("_hasty")
def test_name_resolution_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def hang(*_: object, **__: object) -> list[object]:
        time.sleep(1.5)
        raise socket.gaierror(-3, "too late")

    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    started = time.monotonic()
    with pytest.raises(WeightsError, match="did not answer within"):
        _fetch(tmp_path)
    assert time.monotonic() - started < 1.4


@pytest.mark.parametrize("flag", ["1", "true"])
def test_the_offline_flag_keeps_the_network_untouched(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flag: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", flag)
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE"):
        _fetch(tmp_path)
    assert hub.seen == []


def test_the_token_is_sent(hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    _fetch(tmp_path)
    assert {seen.headers["authorization"] for seen in hub.seen} == {"Bearer hf_secret"}


def test_the_token_does_not_follow_a_redirect_to_another_host(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.behaviour = "elsewhere"
    assert _fetch(tmp_path).paths["model"].read_bytes() == MODEL
    redirected = [seen for seen in hub.seen if seen.path.startswith("/elsewhere")]
    assert redirected
    assert not any("authorization" in seen.headers for seen in redirected)


def _hub_cache(tmp_path: Path, content: bytes) -> None:
    """The layout of huggingface-hub's cache: blobs named by digest, snapshots of links to them."""
    repository = tmp_path / "hub-cache" / "models--me--tiny"
    for path, data in {**FILES, "onnx/model.onnx": content}.items():
        blob = repository / "blobs" / sha256(FILES[path])
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(data)
        link = repository / "snapshots" / REVISION / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))


def test_the_hubs_own_cache_is_reused_as_real_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _hub_cache(tmp_path, MODEL)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = _fetch(tmp_path).paths["model"]
    assert model.read_bytes() == MODEL
    assert not model.is_symlink()


@pytest.mark.parametrize("verified", [True, False])
def test_a_damaged_file_in_the_hubs_own_cache_is_not_used(hub: FakeHub, tmp_path: Path, verified: bool) -> None:
    _hub_cache(tmp_path, bytes(len(MODEL)))
    assert _fetch(tmp_path, tiny_spec(verified=verified)).paths["model"].read_bytes() == MODEL
    assert any("onnx/model.onnx" in seen.path for seen in hub.seen)
