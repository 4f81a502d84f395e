"""May I keep my index?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from os import PathLike

import numpy as np
import numpy.typing as npt

from bge_onnx import BGEError, ModelSpec, checks, list_models
from bge_onnx._shown import shown
from bge_onnx._text.roles import Role, check_role
from bge_onnx.errors import InputTypeError, InputValueError, WeightsError
from bge_onnx.evaluation._sample import Sample, take_sample
from bge_onnx.evaluation._search import NEAR, SAME, Fit, Search
from bge_onnx.evaluation._trials import Trials
from bge_onnx.evaluation._verdict import judge, undecided
from bge_onnx.evaluation.recipes import Recipe
from bge_onnx.evaluation.report import IndexReport, Length, Part
from bge_onnx.settings import EngineSettings, ModelName
from bge_onnx.types import FloatArray, Pooling

__all__ = ["check_index"]

_PARTS = 3  # recipes that one index is searched for
_UNIT = 0.01  # how far a length may be from 1, or from the model's own: int8 and float16 storage move it by less


def check_index(
    model: ModelName,
    texts: Iterable[str],
    vectors: npt.ArrayLike,
    *,
    role: Role = "document",
    sample: int = 64,
    others: Sequence[ModelName] | None = None,
    pooling: Pooling | None = None,
    query_instruction: str | None = None,
    threads: int | None = None,
    cache_dir: str | PathLike[str] | None = None,
    sources: Sequence[str] | None = None,
) -> IndexReport:
    """Find out how stored vectors were made, and whether they can stay when this package makes the new ones.

    Tries what libraries do with BGE models: pooling by first token or mean, prefixes (none, the right instruction, the
    wrong one of LangChain and LlamaIndex, Chinese, E5's), changes of the text, limits in tokens, int8 and half
    precision, length 1 or not, and other BGE models of the same dimension.

    Args:
        model: The model that shall be used from now on, as for `Embedder`.
        texts: Stored texts, exactly as they were embedded (with their metadata, where a framework adds it).
        vectors: What is stored for them, shape (n, dim), in the same order.
        role: Whether the texts are documents or queries.
        sample: The most texts that are compared, spread evenly over those given.
        others: Models to try beside `model`; None for those of the catalogue that have the same dimension and need no
            download.
        pooling: Settles a folder that leaves it open, as for `Embedder`.
        query_instruction: Likewise.
        threads: See `Embedder`.
        cache_dir: See `Embedder`.
        sources: See `Embedder`.

    Returns:
        The recipe, the figures and the verdict; `str()` of it is a paragraph.

    Raises:
        InputTypeError: A text is not a str, or the vectors are not numbers.
        InputValueError: Texts and vectors do not belong together, are too few, or hold NaN; the dimension is not the
            model's.
        BGEError: The model cannot be opened; see `Embedder`.
    """
    checks.model("model", model)
    check_role(role)
    checks.whole("sample", sample)
    if others is not None:
        if not isinstance(others, list | tuple):
            msg = f"others must be a list of models, or None for those at hand, got {shown(others)}"
            raise InputTypeError(msg)
        for position, other in enumerate(others):
            checks.model(f"others[{position}]", other)
    taken = take_sample(texts, vectors, size=sample)
    settings: EngineSettings = {"threads": threads, "cache_dir": cache_dir, "sources": sources}
    with Trials(settings) as trials:
        spec = trials.add(model, pooling=pooling, instruction=query_instruction)
        _check_dimension(taken.vectors, spec)
        prefix = spec.passage_instruction if role == "document" else spec.query_instruction
        ours = Recipe(model=spec.name, pooling=spec.pooling, max_length=spec.max_tokens, prefix=prefix)
        search = Search(trials, taken.texts, _unit(taken.vectors))
        fits, skipped = _fits(search, trials, ours, spec, others)
        _check_order(search, trials, ours, taken, fits)
        parts = tuple(_part(search, trials, taken, fit, rows, ours) for fit, rows in fits)
        explained = {row for part in parts for row in part.rows}
        unexplained = tuple(row for row in taken.rows if row not in explained)
        verdict, advice = judge(parts, unexplained, ours=ours, role=role, spec=spec)
        return IndexReport(
            model=spec.name,
            role=role,
            checked=len(taken.rows),
            dimension=spec.dimension,
            storage=taken.storage,
            verdict=verdict,
            advice=advice,
            parts=parts,
            unexplained=unexplained,
            undecided=undecided(parts, trials, taken.texts, spec),
            cautions=taken.cautions,
            skipped=skipped,
            tried=len(search.tried),
            nearest=search.nearest,
        )


def _fits(
    search: Search, trials: Trials, ours: Recipe, spec: ModelSpec, others: Sequence[ModelName] | None
) -> tuple[list[tuple[Fit, list[int]]], tuple[str, ...]]:
    """The recipes that explain the sample, each with the rows of the sample that it explains."""
    found: list[tuple[Fit, list[int]]] = []
    skipped: list[str] = []
    rows = list(range(search.size))
    while rows and len(found) < _PARTS:
        fit = search.best(ours, spec, rows)
        if not _same(fit, rows):
            fit = _elsewhere(search, trials, fit, rows, others, skipped)
        explained = _same(fit, rows)
        if not explained:
            break
        found.append((fit, explained))
        rows = [row for row in rows if row not in set(explained)]
    if not found and float(np.mean(fit.cosines)) >= NEAR:
        found.append((fit, rows))
    return found, tuple(dict.fromkeys(skipped))


def _same(fit: Fit, rows: Sequence[int]) -> list[int]:
    return [row for row, cosine in zip(rows, fit.cosines, strict=True) if cosine >= SAME]


def _elsewhere(
    search: Search,
    trials: Trials,
    best: Fit,
    rows: Sequence[int],
    others: Sequence[ModelName] | None,
    skipped: list[str],
) -> Fit:
    """The nearest recipe with another precision or another model."""
    if float(np.median(best.cosines)) >= NEAR:
        for precision in ("int8", "int8-dynamic", "fp16"):
            recipe = replace(best.recipe, precision=precision)
            try:
                fit = search.fit(recipe, rows)
            except BGEError as error:
                skipped.append(f"{best.recipe.model} in {precision} ({_reason(error)})")
                continue
            best = fit if fit.better(best) else best
        if _same(best, rows):
            return best
    for other in _others(search.dimension, best.recipe.model) if others is None else others:
        try:
            spec = trials.add(other, fetch=others is not None)
        except BGEError as error:
            skipped.append(f"{other.name if isinstance(other, ModelSpec) else other} ({_reason(error)})")
            continue
        if spec.dimension != search.dimension:
            skipped.append(f"{spec.name} (gives {spec.dimension} components)")
            continue
        start = Recipe(model=spec.name, pooling=spec.pooling, max_length=spec.max_tokens)
        fit = search.best(start, spec, rows)
        best = fit if fit.better(best) else best
    return best


def _others(dimension: int, model: str) -> Iterator[ModelSpec]:
    for spec in list_models(task="embedding"):
        if spec.dimension == dimension and spec.name != model:
            yield spec


def _part(search: Search, trials: Trials, taken: Sample, fit: Fit, rows: Sequence[int], ours: Recipe) -> Part:
    texts = [taken.texts[row] for row in rows]
    raw = trials.vectors(fit.recipe, texts)
    stored = taken.vectors[list(rows)]
    cosines = search.fit(fit.recipe, rows).cosines
    to_ours = search.fit(ours, rows).cosines
    same = bool((cosines >= SAME).all())
    return Part(
        recipe=fit.recipe,
        rows=tuple(taken.rows[row] for row in rows),
        length=_length(stored, raw),
        same=same,
        mean_cosine=float(cosines.mean()),
        min_cosine=float(cosines.min()),
        max_difference=float(np.abs(_unit(stored) - _unit(raw)).max()),
        cosine_to_ours=float(to_ours.mean()),
        ours=same and bool((to_ours >= SAME).all()),
    )


def _length(stored: FloatArray, raw: FloatArray) -> Length:
    lengths = np.linalg.norm(stored, axis=1)
    if (np.abs(lengths - 1) < _UNIT).all():
        return "one"
    return "raw" if (np.abs(lengths / np.linalg.norm(raw, axis=1) - 1) < _UNIT).all() else "other"


def _check_dimension(vectors: FloatArray, spec: ModelSpec) -> None:
    width = vectors.shape[1]
    if width != spec.dimension:
        known = [other.name for other in list_models(task="embedding") if other.dimension == width]
        made = f"models of {width} are {', '.join(known)}" if known else f"no BGE model has {width}"
        msg = f"the vectors have {width} components and {spec.name} gives {spec.dimension}; {made}"
        raise InputValueError(msg)


def _check_order(
    search: Search, trials: Trials, ours: Recipe, taken: Sample, fits: Sequence[tuple[Fit, list[int]]]
) -> None:
    """Refuse lists that are out of step: unexplained vectors that are those of other texts of the sample."""
    explained = {row for _, rows in fits for row in rows}
    rows = [row for row in range(search.size) if row not in explained]
    if not rows:
        return
    computed = _unit(trials.vectors(fits[0][0].recipe if fits else ours, taken.texts))
    cosines = _unit(taken.vectors)[rows] @ computed.T
    nearest = cosines.argmax(axis=1)
    moved = [
        place for place, row in enumerate(rows) if nearest[place] != row and cosines[place, nearest[place]] >= SAME
    ]
    if len(moved) > len(rows) // 3:
        vector, text = taken.rows[rows[moved[0]]], taken.rows[int(nearest[moved[0]])]
        msg = (
            f"texts and vectors are out of step: the vector at position {vector} is that of the text at position "
            f"{text} ({len(moved)} of {search.size} are such); pass both in the same order"
        )
        raise InputValueError(msg)


def _unit(vectors: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


def _reason(error: BGEError) -> str:
    return "not in the cache" if isinstance(error, WeightsError) else str(error).partition("\n")[0]
