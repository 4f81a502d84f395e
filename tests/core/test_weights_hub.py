from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bge_onnx import Embedder, ModelSpec
from bge_onnx._repository import hub as _hub
from bge_onnx._repository import patience as _patience
from bge_onnx._repository.files import ModelFiles
from bge_onnx.errors import WeightsError
from tests.core.fake_hub import COMMIT, Behaviour, FakeHub, fake_hub
from tests.core.weights_kit import (
    FILES,
    MODEL,
    REVISION,
    TOKENIZER,
    WHOLE,
    external_model,
    find,
    hub_snapshot,
    isolate,
    sha256,
    tiny_spec,
)

_ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = """
import sys
from pathlib import Path
from tests.core.weights_kit import find, tiny_spec
sys.stdout.write(find(tiny_spec(maven=False), cache=Path(sys.argv[1]), sources=["hub"]).digests["model"])
"""


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with fake_hub() as hub:
        hub.publish("me/tiny", FILES)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(_patience, "_PATIENCE", 0.5)
    monkeypatch.setattr(_patience, "_STALL", 0.5)
    monkeypatch.setattr(_patience, "_SLOWEST", 1e9)
    monkeypatch.setattr(_hub, "_PAUSE", 0.01)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)


def _find(tmp_path: Path, spec: ModelSpec | None = None) -> ModelFiles:
    return find(spec or tiny_spec(), cache=tmp_path / "cache", sources=["hub"])


class TestFilesThatArrive:
    @pytest.mark.usefixtures("hub")
    def test_they_are_verified_and_stay_in_the_hubs_own_cache(self, tmp_path: Path) -> None:
        files = _find(tmp_path)
        assert files.paths["model"].read_bytes() == MODEL
        assert files.digests == {"model": sha256(MODEL), "tokenizer": sha256(TOKENIZER)}
        assert files.source == f"hub me/tiny@{REVISION}"
        assert files.folder == tmp_path / "hub-cache" / "models--me--tiny" / "snapshots" / REVISION
        assert not [path for path in (tmp_path / "cache").rglob("*") if path.suffix == ".onnx"]

    def test_a_second_search_asks_the_hub_nothing(self, hub: FakeHub, tmp_path: Path) -> None:
        _find(tmp_path)
        before = len(hub.seen)
        assert _find(tmp_path).source == f"cache (from hub me/tiny@{REVISION})"
        assert len(hub.seen) == before

    @pytest.mark.usefixtures("hub")
    def test_a_model_without_digests_gets_those_of_what_arrived(self, tmp_path: Path) -> None:
        assert _find(tmp_path, tiny_spec(verified=False)).digests["model"] == sha256(MODEL)

    def test_external_data_that_no_spec_names_is_fetched_too(self, hub: FakeHub, tmp_path: Path) -> None:
        made = external_model(tmp_path / "made").parent
        files = {f"onnx/{path.name}": path.read_bytes() for path in made.iterdir()}
        hub.publish("me/external", {**files, "tokenizer.json": TOKENIZER})
        found = _find(tmp_path, ModelSpec(name="me/external", dimension=8, query_instruction=""))
        assert {path.name for path in found.paths["model"].parent.iterdir()} >= {path.name for path in made.iterdir()}
        assert not found.paths["model"].is_symlink()  # ONNX Runtime refuses data behind links
        assert "data" in found.digests

    def test_a_mirror_of_files_alone_serves_what_the_catalogue_names(self, hub: FakeHub, tmp_path: Path) -> None:
        hub.listed = False
        assert _find(tmp_path).paths["model"].read_bytes() == MODEL


class TestRefusals:
    @pytest.mark.parametrize("status", [403, 404])
    def test_it_is_final_at_once(self, hub: FakeHub, tmp_path: Path, status: int) -> None:
        hub.behaviour = status
        with pytest.raises(WeightsError, match=f"HTTP {status}"):
            _find(tmp_path)
        assert len(hub.seen) < 5

    def test_a_missing_file_is_named(self, hub: FakeHub, tmp_path: Path) -> None:
        del hub.repositories["me/tiny"][COMMIT]["onnx/model.onnx"]
        with pytest.raises(WeightsError, match=r"me/tiny on the hub has no weights: no \.onnx file"):
            _find(tmp_path)

    @pytest.mark.usefixtures("_hasty")
    def test_a_server_error_is_tried_twice(self, hub: FakeHub, tmp_path: Path) -> None:
        hub.behaviour = 503
        with pytest.raises(WeightsError, match="HTTP 503"):
            _find(tmp_path)
        assert len(hub.seen) == 2

    def test_a_busy_hub_is_waited_for_as_it_asks(
        self, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hub.behaviour, hub.victims, hub.retry_after = "busy once", f"/revision/{REVISION}", "4"
        waits: list[float] = []
        monkeypatch.setattr(time, "sleep", waits.append)
        assert _find(tmp_path).paths["model"].read_bytes() == MODEL
        assert 4.0 in waits

    @pytest.mark.usefixtures("_hasty")
    @pytest.mark.parametrize("behaviour", ["truncated", "wrong", "page", "empty"])
    @pytest.mark.parametrize("verified", [True, False])
    def test_what_is_not_the_file_never_enters(
        self, hub: FakeHub, tmp_path: Path, behaviour: Behaviour, verified: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "sleep", lambda _: None)
        hub.behaviour, hub.victims = behaviour, "model.onnx"
        with pytest.raises(WeightsError):
            _find(tmp_path, tiny_spec(verified=verified))
        hub.behaviour = "good"
        assert _find(tmp_path, tiny_spec(verified=verified)).paths["model"].read_bytes() == MODEL

    def test_a_log_in_page_for_everything_is_named(self, hub: FakeHub, tmp_path: Path) -> None:
        hub.behaviour = "page"
        with pytest.raises(WeightsError, match="log-in"):
            find("acme/bge-legal", cache=tmp_path / "cache", sources=["hub"])

    @pytest.mark.parametrize(
        "lies",
        [
            {"sha": "../../escaped"},
            {"sha": None},
            {"siblings": "all of them"},
            {"siblings": [{"rfilename": "../escaped.onnx"}, {"rfilename": 7}]},
            {"siblings": [{"rfilename": "tokenizer.json", "lfs": {"sha256": "../x", "size": "y", "pointerSize": 1}}]},
        ],
    )
    def test_a_description_that_lies_is_no_description(
        self, hub: FakeHub, tmp_path: Path, lies: dict[str, object]
    ) -> None:
        hub.publish("acme/bge-legal", WHOLE)
        hub.lies = lies
        with pytest.raises(WeightsError):
            find("acme/bge-legal", cache=tmp_path / "cache", sources=["hub"])
        assert not list(tmp_path.rglob("*escaped*"))

    def test_a_file_that_cannot_be_opened_is_thrown_away(self, hub: FakeHub, tmp_path: Path) -> None:
        hub.publish("me/tiny", {**FILES, "tokenizer.json": b'{"version": "1.0"}'})
        with pytest.raises(WeightsError, match=r"tokenizer\.json cannot be used"):
            _find(tmp_path, tiny_spec(verified=False))
        hub.publish("me/tiny", FILES)
        assert _find(tmp_path, tiny_spec(verified=False)).digests["tokenizer"] == sha256(TOKENIZER)

    def test_other_content_than_the_catalogue_knows_is_refused(self, hub: FakeHub, tmp_path: Path) -> None:
        hub.publish("me/tiny", {**FILES, "tokenizer.json": TOKENIZER + b"\n"})
        with pytest.raises(WeightsError, match="wrong content: sha256"):
            _find(tmp_path)
        assert not hub.downloads  # the hub says so itself

    @pytest.mark.usefixtures("_hasty")
    def test_a_body_without_end_is_broken_off(self, hub: FakeHub, tmp_path: Path) -> None:
        hub.behaviour, hub.victims = "endless", "model.onnx"
        with pytest.raises(WeightsError, match=r"more than the .* bytes that were announced"):
            _find(tmp_path)


class TestTokens:
    def test_it_is_sent(self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        _find(tmp_path)
        here = [seen for seen in hub.seen if not seen.path.startswith("/cdn")]
        assert {seen.headers.get("authorization") for seen in here} == {"Bearer hf_secret"}

    def test_it_does_not_follow_to_another_host(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        assert _find(tmp_path).paths["model"].read_bytes() == MODEL
        elsewhere = [seen for seen in hub.seen if seen.path.startswith("/cdn")]
        assert elsewhere
        assert not any("authorization" in seen.headers for seen in elsewhere)

    def test_a_stale_one_is_left_out_for_a_public_model(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_stale")
        hub.behaviour = "refuses tokens"
        with caplog.at_level(logging.WARNING, logger="bge_onnx"):
            assert _find(tmp_path).paths["model"].read_bytes() == MODEL
        assert "refused the token" in caplog.text

    def test_a_stale_one_is_named(self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_stale")
        hub.behaviour = 401
        with pytest.raises(WeightsError, match="the token was refused") as caught:
            _find(tmp_path)
        assert "hf_stale" not in str(caught.value)

    def test_the_password_of_an_address_is_not_shown(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HF_ENDPOINT", "http://user:sesame@127.0.0.1:9")
        with pytest.raises(WeightsError, match="cannot be reached") as caught:
            _find(tmp_path)
        assert "sesame" not in str(caught.value)

    @pytest.mark.parametrize("address", ["http://[::1", "http://host:port", "ftp://host", "host", "http://a b"])
    def test_an_address_that_is_none_is_one_sources_failure(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
    ) -> None:
        monkeypatch.setenv("HF_ENDPOINT", address)
        with pytest.raises(WeightsError, match=r"hub: HF_ENDPOINT .* is not an address.*maven:"):
            find(tiny_spec(maven=False), cache=tmp_path / "cache", sources=["hub", "maven"])

    def test_a_blank_behind_the_address_does_not_matter(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("HF_ENDPOINT", f"{hub.url}/ ")
        assert _find(tmp_path).paths["model"].read_bytes() == MODEL


class TestAHubThatDoesNotWork:
    @pytest.mark.usefixtures("_hasty")
    @pytest.mark.parametrize("behaviour", ["stalls", 500])
    def test_it_costs_seconds(self, hub: FakeHub, tmp_path: Path, behaviour: Behaviour) -> None:
        hub.behaviour = behaviour
        with pytest.raises(WeightsError, match=r"did not answer within|HTTP 500|cannot be reached"):
            _find(tmp_path)

    @pytest.mark.usefixtures("_hasty")
    def test_one_that_stalls_halfway_is_given_up(self, hub: FakeHub, tmp_path: Path) -> None:
        hub.behaviour, hub.victims = "stalls halfway", "model.onnx"
        with pytest.raises(WeightsError, match="brought nothing"):
            _find(tmp_path)

    def test_one_that_refuses_connections_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=r"127\.0\.0\.1:9 cannot be reached"):
            _find(tmp_path)

    def test_the_users_own_patience_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert _patience.patience() == 6.0
        monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "60")
        assert _patience.patience() == 60.0

    @pytest.mark.usefixtures("_hasty")
    def test_name_resolution_that_hangs_is_given_up(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def hang(*_: object, **__: object) -> list[object]:
            time.sleep(3)
            raise socket.gaierror(-3, "too late")

        monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
        monkeypatch.setattr(socket, "getaddrinfo", hang)
        with pytest.raises(WeightsError, match="did not answer within"):
            _find(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_download_that_was_killed_goes_on_where_it_was(hub: FakeHub, tmp_path: Path) -> None:
    hub.behaviour, hub.victims = "stalls halfway", "model.onnx"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), *sys.path])}
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path / "cache")]
    blobs = tmp_path / "hub-cache" / "models--me--tiny" / "blobs"
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while not list(blobs.glob(f"{sha256(MODEL)}*.incomplete")):
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.02)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=30)
    (part,) = blobs.glob("*.incomplete")
    # The hub's library writes pieces of 10 MB; a killed download of a large model leaves some of them.
    part.write_bytes(MODEL[:1000])
    hub.behaviour = "good"
    hub.seen.clear()
    files = _find(tmp_path)
    assert files.paths["model"].read_bytes() == MODEL
    assert [seen.headers.get("range") for seen in hub.asked("model.onnx") if seen.path.startswith("/cdn")] == [
        "bytes=1000-"
    ]
    assert not list(blobs.glob("*.incomplete"))


class TestOffline:
    @pytest.fixture(autouse=True)
    def _offline(self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        yield
        assert hub.seen == []

    def test_no_source_touches_the_network(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=r"hub: HF_HUB_OFFLINE is set.*maven: HF_HUB_OFFLINE is set"):
            find(tiny_spec(), cache=tmp_path / "cache", sources=["cache", "hub", "maven"])

    @pytest.mark.parametrize("commit", [REVISION, "f" * 40])
    def test_any_snapshot_whose_digest_fits_is_used(self, tmp_path: Path, commit: str) -> None:
        hub_snapshot(tmp_path, "me/tiny", FILES, commit=commit)
        files = _find(tmp_path)
        assert files.paths["model"].read_bytes() == MODEL
        assert commit in files.source

    def test_a_snapshot_of_another_commit_without_known_digests_is_named(self, tmp_path: Path) -> None:
        hub_snapshot(tmp_path, "me/tiny", FILES, commit="f" * 40)
        with pytest.raises(WeightsError, match=r"it has fff.*pass revision="):
            _find(tmp_path, tiny_spec(verified=False))

    def test_a_model_that_other_programs_fetched_opens(self, tmp_path: Path) -> None:
        hub_snapshot(tmp_path, "acme/bge-legal", WHOLE)
        assert Embedder("acme/bge-legal", cache_dir=tmp_path / "cache").spec.name == "acme/bge-legal"

    def test_a_damaged_file_is_not_used(self, tmp_path: Path) -> None:
        snapshot = hub_snapshot(tmp_path, "me/tiny", FILES)
        (snapshot / "onnx" / "model.onnx").resolve().write_bytes(bytes(len(MODEL)))
        with pytest.raises(WeightsError, match="wrong content"):
            _find(tmp_path, tiny_spec(verified=False))


@pytest.mark.parametrize("verified", [True, False])
def test_a_damaged_file_in_the_hubs_own_cache_is_replaced(hub: FakeHub, tmp_path: Path, verified: bool) -> None:
    snapshot = hub_snapshot(tmp_path, "me/tiny", FILES)
    (snapshot / "onnx" / "model.onnx").resolve().write_bytes(bytes(len(MODEL)))
    assert _find(tmp_path, tiny_spec(verified=verified)).paths["model"].read_bytes() == MODEL
    assert hub.asked("onnx/model.onnx")
