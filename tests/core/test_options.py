from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_onnx import BGEError, InputTypeError, InputValueError
from bge_onnx.settings import Options


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("precision", "fp8", "'fp32'.*'int8-dynamic', got 'fp8'"),
        ("precision", None, "got None"),
        ("truncate", True, "'warn', 'error', 'silent', got True"),
        ("truncate", "never", "'warn', 'error', 'silent', got 'never'"),
        ("max_length", 0, "at least 1.*got 0"),
        ("max_length", 512.0, "got 512.0"),
        ("max_length", True, "got True"),
        ("threads", 0, "got 0"),
        ("threads", "4", "got '4'"),
        ("token_budget", -5, "got -5"),
        ("token_budget", None, "got None"),
        ("sources", "hub", r"pass \['hub'\]"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_the_name_of_its_argument(
    setting: str, value: Any, message: str
) -> None:
    with pytest.raises(InputValueError, match=f"^{setting} must be .*{message}") as caught:
        Options(**{setting: value})
    assert isinstance(caught.value, BGEError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [{}, {"max_length": 512, "threads": 1}, {"threads": np.int64(2)}, {"truncate": "silent", "sources": ["hub"]}],
)
def test_sensible_values_are_kept(settings: dict[str, Any]) -> None:
    options = Options(**settings)
    assert {name: getattr(options, name) for name in settings} == settings


def test_the_cache_directory_may_name_the_home_folder() -> None:
    assert Options().cache is None
    assert Options(cache_dir="~/models").cache == Path.home() / "models"
    assert Options(cache_dir=Path("/models")).cache == Path("/models")


@pytest.mark.parametrize(("folder", "error"), [(3, InputTypeError), (b"models", InputTypeError), ("", InputValueError)])
def test_a_cache_directory_that_is_no_path_is_refused(folder: Any, error: type[BGEError]) -> None:
    with pytest.raises(error, match=r"^cache_dir must be a folder's path"):
        Options(cache_dir=folder)


def test_options_cannot_be_changed_afterwards() -> None:
    with pytest.raises(AttributeError):
        Options().threads = 2  # type: ignore[misc]
