"""A token of one's own, and models that are to be found on this machine alone, asked of a hub on loopback."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from haystack.utils import Secret
from pydantic import SecretStr

from bge_onnx import Embedder, TokenSplitter
from bge_onnx._repository.access import Access
from bge_onnx.bulk import EmbedBatches, RerankBatches
from bge_onnx.errors import InputTypeError, InputValueError, WeightsError
from tests.core.fake_hub import FakeHub, fake_hub

MODEL = "acme/private"


@pytest.fixture
def hub(tiny_embedder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    from huggingface_hub import constants

    with fake_hub() as hub:
        files = (path for path in tiny_embedder.rglob("*") if path.is_file())
        hub.publish(MODEL, {path.relative_to(tiny_embedder).as_posix(): path.read_bytes() for path in files})
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


def _sent(hub: FakeHub) -> set[str | None]:
    return {seen.headers.get("authorization") for seen in hub.seen if not seen.path.startswith("/cdn")}


@pytest.mark.parametrize(
    "token", ["sesame", " sesame\n", SecretStr("sesame"), Secret.from_token("sesame"), Secret.from_env_var("MY_TOKEN")]
)
def test_a_token_is_sent_in_every_form(
    hub: FakeHub, token: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MY_TOKEN", "sesame")
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    Embedder(MODEL, token=token, cache_dir=tmp_path).close()
    assert _sent(hub) == {"Bearer sesame"}


def test_a_secret_that_holds_none_leaves_the_users_own(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_own")
    TokenSplitter(MODEL, token=Secret.from_env_var("NO_SUCH_TOKEN", strict=False), cache_dir=tmp_path)
    assert _sent(hub) == {"Bearer hf_own"}


def test_a_token_that_is_refused_is_named_and_not_shown(hub: FakeHub, tmp_path: Path) -> None:
    hub.behaviour = 401
    with pytest.raises(WeightsError, match=r"the token was refused .* renew token") as caught:
        Embedder(MODEL, token="sesame", cache_dir=tmp_path)
    assert "sesame" not in str(caught.value)


def test_a_token_is_shown_nowhere(tiny_embedder: Path) -> None:
    embedder = Embedder(tiny_embedder, token="sesame")
    assert "token='***'" in repr(embedder)
    assert "sesame" not in repr(embedder) + repr(vars(embedder)) + repr(copy.deepcopy(embedder))
    again = pickle.loads(pickle.dumps(embedder))  # worker processes fetch what they lack
    assert (again.embed_query("a") == embedder.embed_query("a")).all()
    assert embedder.fingerprint == Embedder(tiny_embedder).fingerprint


@pytest.mark.parametrize(("wrong", "error"), [(3, InputTypeError), (b"sesame", InputTypeError), ("", InputValueError)])
def test_what_is_no_token_is_refused(wrong: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^token must be ") as caught:
        Embedder("no such model", token=wrong)
    assert "sesame" not in str(caught.value)
    with pytest.raises(InputValueError, match=r"^token must be ") as caught_2:
        Embedder("no such model", token="sésame")
    assert "sésame" not in str(caught_2.value)


def test_nobody_is_asked_for_a_model_that_is_to_be_here(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="local_files_only is set, and the hub's own cache has no such files"):
        Embedder(MODEL, local_files_only=True, cache_dir=tmp_path)
    with pytest.raises(WeightsError, match="local_files_only is set, and this source has stored nothing"):
        Embedder("BAAI/bge-small-en-v1.5", local_files_only=True, cache_dir=tmp_path)
    assert not hub.seen
    fetched = Embedder(MODEL, cache_dir=tmp_path)
    asked = len(hub.seen)
    here = Embedder(MODEL, local_files_only=True, cache_dir=tmp_path)
    assert (here.embed_query("a") == fetched.embed_query("a")).all()
    assert len(hub.seen) == asked
    assert here.fingerprint == fetched.fingerprint


def test_a_secret_that_cannot_be_resolved_is_named() -> None:
    class Unset:
        def resolve_value(self) -> str:
            raise ValueError("None of the following authentication environment variables are set: ('NOPE',).")

    with pytest.raises(InputValueError, match=r"token cannot be resolved \(None of .*NOPE.*\); set what it names"):
        Access(token=Unset()).secret()


def test_a_job_for_other_machines_does_not_show_its_token() -> None:
    for job in (EmbedBatches("a/b", token="hf_plain"), RerankBatches("a/b", token="hf_plain")):
        assert "hf_plain" not in repr(vars(job))
