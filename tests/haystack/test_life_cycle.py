"""What Haystack asks of every component: opening and closing, threads, event loop, copies."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from haystack import Document

from haystack_integrations.common.bge._component import ModelComponent
from tests.haystack._cases import ANY, Case, name_of, pipeline_of
from tests.haystack._common import blocks_the_loop


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, case: Case) -> list[weakref.ref[object]]:
    """Grows by every model that the component opens."""
    models: list[weakref.ref[object]] = []
    open_model: Callable[[ModelComponent[Any]], object] = case.kind._open

    def recorded(self: ModelComponent[Any]) -> object:
        model = open_model(self)
        models.append(weakref.ref(model))
        return model

    monkeypatch.setattr(case.kind, "_open", recorded)
    return models


@pytest.fixture
def opens_slowly(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    """Opening takes 0.2 s more."""
    open_model: Callable[[ModelComponent[Any]], object] = case.kind._open

    def slow(self: ModelComponent[Any]) -> object:
        time.sleep(0.2)
        return open_model(self)

    monkeypatch.setattr(case.kind, "_open", slow)


def test_constructing_opens_nothing(case: Case) -> None:
    case.kind("no/such/model/anywhere")


def test_warm_up_opens_once_and_close_releases(
    case: Case, request: pytest.FixtureRequest, opened: list[weakref.ref[object]]
) -> None:
    component = case.make(request)
    component.warm_up()
    component.warm_up()
    first = component.run(**case.inputs)
    assert len(opened) == 1
    component.close()
    component.close()
    gc.collect()
    assert opened[0]() is None
    assert component.run(**case.inputs) == first
    assert len(opened) == 2


def _numbers(answer: dict[str, Any]) -> dict[str, Any]:
    """What an answer says, for a comparison: runs share batches, and a batch of another size is rounded otherwise."""
    if "documents" not in answer:
        vector = answer.get("embedding") or answer["sparse_embedding"].values
        return {"": pytest.approx(vector, abs=1e-6)}
    return {
        document.id: pytest.approx(
            [*(document.embedding or ()), *(getattr(document.sparse_embedding, "values", ())), document.score or 0],
            abs=1e-6,
        )
        for document in answer["documents"]
    }


@pytest.mark.usefixtures("opens_slowly")
def test_sixteen_threads_open_one_model_and_agree(
    case: Case, request: pytest.FixtureRequest, opened: list[weakref.ref[object]]
) -> None:
    component = case.make(request)
    start = threading.Barrier(16)

    def run(_: int) -> list[Any]:
        start.wait()
        return [component.run(**case.inputs) for _ in range(5)]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(run, range(16)))
    assert len(opened) == 1
    expected = _numbers(component.run(**case.inputs))
    assert all(_numbers(answer) == expected for five in answers for answer in five)


@pytest.mark.usefixtures("opens_slowly")
async def test_opening_does_not_block_the_event_loop(
    case: Case, request: pytest.FixtureRequest, opened: list[weakref.ref[object]]
) -> None:
    component = case.make(request)

    async def warm_up() -> None:
        component.close()
        await component.warm_up_async()

    async def run() -> None:
        component.close()
        await component.run_async(**case.inputs)

    for work in (warm_up, run):
        before = len(opened)
        assert not await blocks_the_loop(work)
        assert len(opened) > before


async def test_async_runs_agree_with_sync_runs(case: Case, request: pytest.FixtureRequest) -> None:
    component = case.make(request)
    result = await component.run_async(**case.inputs)
    assert result == component.run(**case.inputs)
    assert await pipeline_of(component).run_async({"bge": case.inputs}) == {"bge": result}


@pytest.mark.usefixtures("slow_model")
async def test_the_model_runs_off_the_event_loop(case: Case, request: pytest.FixtureRequest) -> None:
    component = case.make(request)
    component.warm_up()
    assert not await blocks_the_loop(lambda: component.run_async(**case.fresh()))


class SlowDocument(Document):
    """Takes 3 ms to make or to copy."""

    def __post_init__(self) -> None:
        time.sleep(0.003)
        super().__post_init__()


@pytest.mark.parametrize("case", [case for case in ANY if "documents" in case.inputs], indirect=True, ids=name_of)
async def test_answers_become_documents_off_the_event_loop(case: Case, request: pytest.FixtureRequest) -> None:
    component = case.make(request)
    component.warm_up()
    inputs = {**case.inputs, "documents": [SlowDocument(content=f"river {i}") for i in range(100)]}
    assert not await blocks_the_loop(lambda: component.run_async(**inputs))
    ran = await component.run_async(**inputs)
    assert {type(document) for document in ran["documents"]} == {SlowDocument}


@pytest.mark.parametrize("warm", [False, True])
def test_pickles_and_copies_work_cold_and_warm(case: Case, warm: bool, request: pytest.FixtureRequest) -> None:
    component = case.make(request)
    if warm:
        component.warm_up()
    expected = component.run(**case.inputs) if warm else case.make(request).run(**case.inputs)
    for twin in (pickle.loads(pickle.dumps(component)), copy.deepcopy(component)):
        assert twin is not component
        assert twin.run(**case.inputs) == expected
        twin.close()
    assert component.run(**case.inputs) == expected


def test_a_pipeline_with_a_warm_component_can_be_copied(case: Case, request: pytest.FixtureRequest) -> None:
    pipeline = pipeline_of(case.make(request))
    expected = pipeline.run({"bge": case.inputs})
    assert copy.deepcopy(pipeline).run({"bge": case.inputs}) == expected


def test_a_pipeline_closes_the_component(
    case: Case, request: pytest.FixtureRequest, opened: list[weakref.ref[object]]
) -> None:
    pipeline = pipeline_of(case.make(request))
    pipeline.warm_up()
    pipeline.close()
    gc.collect()
    assert opened[0]() is None
