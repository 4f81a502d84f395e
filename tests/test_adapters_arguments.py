"""What every class of the adapters says about wrong arguments, and that the READMEs' tables say the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import langchain_bge
from bge_onnx.errors import InputTypeError, InputValueError
from haystack_integrations.components.embedders import bge as embedders
from haystack_integrations.components.rankers import bge as rankers
from haystack_integrations.document_stores.bge import BGEHybridDocumentStore
from llama_index.embeddings.bge import BGEEmbedding
from llama_index.postprocessor.bge import BGEColBERTRerank, BGERerank
from llama_index.sparse_embeddings.bge import BGESparseEmbedding

_PACKAGES = Path(__file__).resolve().parent.parent / "packages"
_CLASSES: dict[str, Sequence[Any]] = {
    "langchain": [
        langchain_bge.BGEEmbeddings,
        langchain_bge.BGESparseEmbeddings,
        langchain_bge.BGEReranker,
        langchain_bge.BGECrossEncoder,
        langchain_bge.BGEColBERTReranker,
        langchain_bge.BGEHybridRetriever,
    ],
    "llamaindex": [BGEEmbedding, BGESparseEmbedding, BGERerank, BGEColBERTRerank],
    "haystack": [
        embedders.BGETextEmbedder,
        embedders.BGEDocumentEmbedder,
        embedders.BGESparseTextEmbedder,
        embedders.BGESparseDocumentEmbedder,
        embedders.BGEHybridDocumentEmbedder,
        rankers.BGERanker,
        rankers.BGEColBERTRanker,
        BGEHybridDocumentStore,
    ],
}


def _rows() -> list[tuple[str, str, str]]:
    """Framework, argument there, and what stands in the column of what it is here."""
    rows = []
    for framework in _CLASSES:
        text = (_PACKAGES / framework / "README.md").read_text(encoding="utf-8")
        lines = text[text.index("| there | here |") :].split("\n\n")[0].splitlines()[2:]
        for line in lines:
            there, here = (cell.strip() for cell in line.strip("|").split("|"))
            rows += [(framework, name, here) for name in re.findall(r"`(\w+)`", there)]
    return rows


@pytest.mark.parametrize(("framework", "there", "here"), _rows())
def test_the_readmes_table_says_what_the_classes_say(framework: str, there: str, here: str) -> None:
    answers = [_refusal(kind, there) for kind in _CLASSES[framework]]
    named = {name for answer in answers for name in re.findall(r"it is called '(\w+)' here", answer)}
    if here.startswith("*leave it out"):
        assert not named
        assert any("leave it out" in answer or "arguments of their own here" in answer for answer in answers)
    else:
        assert named
        assert named <= set(re.findall(r"`(\w+)[`=]", here))


def _refusal(kind: Any, argument: str) -> str:
    """What a class says about an argument; nothing where it takes it."""
    if argument in (getattr(kind, "model_fields", None) or kind.__init__.__signature__.parameters):
        return ""
    with pytest.raises(InputTypeError, match=f"^{kind.__name__} takes no argument '{argument}'; ") as caught:
        kind("a-model", **{argument: 1})
    return str(caught.value)


@pytest.fixture(params=[kind for kinds in _CLASSES.values() for kind in kinds], ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("treads", "did you mean 'threads'?"),
        ("bacth_size_of_all", r"it takes (\w+, )*cache_dir"),
        ("device", "it is called 'providers' here"),
        ("batch_size", "it is called 'token_budget' here"),
        ("cache_folder", "it is called 'cache_dir' here"),
        ("use_fp16", "it is called 'precision' here"),
        ("parallel", "it is called 'threads' here"),
        ("model_kwargs", "arguments of their own here"),
        ("encode_kwargs", "arguments of their own here"),
        ("trust_remote_code", "leave it out"),
        ("backend", "leave it out"),
        ("use_auth_token", "it is called 'token' here"),
    ],
)
def test_every_class_names_an_argument_of_others_as_it_is_called_here(kind: Any, name: str, message: str) -> None:
    assert re.search(message, _refusal(kind, name))


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("truncate", "never", InputValueError),
        ("precision", None, InputValueError),
        ("max_length", "512", InputValueError),
        ("threads", True, InputValueError),
        ("token_budget", 0, InputValueError),
        ("providers", 5, InputTypeError),
        ("sources", "hub", InputTypeError),
        ("cache_dir", 3, InputTypeError),
        ("show_progress", "yes", InputValueError),
        ("token", 3, InputTypeError),
        ("local_files_only", 1, InputValueError),
    ],
)
def test_every_constructor_refuses_what_cannot_work_with_the_cores_error(
    kind: Any, name: str, value: object, error: type[Exception]
) -> None:
    here = "progress_bar" if name == "show_progress" and kind in _CLASSES["haystack"] else name
    with pytest.raises(error, match=f"^{here} must be ") as caught:
        kind("a-model", **{here: value})
    assert type(caught.value) is error


@pytest.mark.parametrize("wrong", [None, 3, b"a-model"])
def test_every_constructor_refuses_what_is_no_model(kind: Any, wrong: object) -> None:
    with pytest.raises(InputTypeError, match=r"^model(_name)? must be "):
        kind(wrong)
