"""A model and a cache of each test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from bge_onnx.testing import write_tiny_model


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of this test alone, not made yet."""
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of this test alone, which may be changed."""
    return write_tiny_model(tmp_path / "model")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a cache does not take goes to the user's own.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home-cache"))
