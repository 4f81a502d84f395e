"""What several test modules of the core need; a module may have another `folder`."""

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
