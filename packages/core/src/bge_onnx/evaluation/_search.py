"""Which recipe made these vectors?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bge_onnx import ModelSpec
from bge_onnx.evaluation._trials import Trials
from bge_onnx.evaluation.recipes import CHANGES, Recipe, lengths, prefixes
from bge_onnx.types import FloatArray, Pooling

Cosines = npt.NDArray[np.float64]

# Measured on the vectors of seven libraries: a recipe meets its own vectors at a cosine of .99999 or more, also where
# they were rounded to half precision or to 8-bit integers by one scale (.9999), and the nearest wrong one stays below.
SAME = 0.9999
# An int8 model is that near to its fp32 parent on average; the nearest wrong recipe can be as near, so this proves
# a relation and not a recipe.
NEAR = 0.98
_PLAIN = 12  # texts that a prefix and a pooling are found with
_ROUNDS = 3
_POOLINGS: tuple[Pooling, ...] = ("cls", "mean")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A recipe and how near it comes.

    Attributes:
        recipe: The recipe.
        cosines: To the stored vectors, shape (n,), one a text of the sample.
    """

    recipe: Recipe
    cosines: Cosines

    @property
    def _order(self) -> tuple[int, float]:
        return int((self.cosines >= SAME).sum()), float(np.median(self.cosines))

    def better(self, other: Fit) -> bool:
        """Whether it explains more texts, or comes nearer by more than rounding."""
        (mine, near), (theirs, middle) = self._order, other._order
        return mine > theirs or (mine == theirs and near > middle + 1e-6)


class Search:
    """A search over recipes for the vectors of one sample.

    All combinations would be some hundred runs of the model. Instead one property after the other is settled, on few
    texts where few suffice, until nothing improves.

    Args:
        trials: Computes recipes.
        texts: The sample, n texts.
        vectors: What was stored for them, at length 1, shape (n, dim).
    """

    def __init__(self, trials: Trials, texts: Sequence[str], vectors: FloatArray) -> None:
        self._trials = trials
        self._texts = texts
        self._vectors = vectors
        self.tried: set[Recipe] = set()
        self.nearest = -1.0

    @property
    def size(self) -> int:
        """Texts of the sample."""
        return len(self._texts)

    @property
    def dimension(self) -> int:
        """Components of a vector."""
        return int(self._vectors.shape[1])

    def fit(self, recipe: Recipe, rows: Sequence[int] | None = None) -> Fit:
        """How near a recipe comes, on all texts or on some."""
        self.tried.add(recipe)
        rows = range(len(self._texts)) if rows is None else rows
        found = self._trials.vectors(recipe, [self._texts[row] for row in rows]).astype(np.float64)
        stored = self._vectors[list(rows)].astype(np.float64)
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(stored, axis=1)
        cosines = np.einsum("nd,nd->n", found, stored) / np.maximum(lengths, 1e-12)
        self.nearest = max(self.nearest, float(cosines.mean()))
        return Fit(recipe=recipe, cosines=cosines)

    def best(self, start: Recipe, spec: ModelSpec, rows: Sequence[int] | None = None) -> Fit:
        """The nearest recipe of one model; of equally near ones the first, and `start` before all.

        Args:
            start: Where to begin.
            spec: The model's.
            rows: The texts to explain; None for all.
        """
        rows = list(range(len(self._texts)) if rows is None else rows)
        few = self._plain(start, rows)
        best = self.fit(start, rows)
        for _ in range(_ROUNDS):
            if (best.cosines >= SAME).all():
                break
            before = best
            recipes = [
                replace(before.recipe, prefix=prefix, pooling=pooling)
                for pooling in _POOLINGS
                for prefix in prefixes(spec)
            ]
            best = self.fit(self._nearest(before.recipe, recipes, few), rows)
            if (best.cosines >= SAME).all():
                break
            recipes = [replace(best.recipe, change=change, max_length=n) for change in CHANGES for n in lengths(spec)]
            best = self.fit(self._nearest(best.recipe, recipes, rows), rows)
            few = rows[:: max(1, len(rows) // _PLAIN)]  # from now on also texts on which change and limit tell
            if best.recipe == before.recipe:
                break
        return best

    def _nearest(self, first: Recipe, others: Iterable[Recipe], rows: Sequence[int]) -> Recipe:
        best = self.fit(first, rows)
        for recipe in others:
            fit = self.fit(recipe, rows)
            if fit.better(best):
                best = fit
        return best.recipe

    def _plain(self, recipe: Recipe, rows: Sequence[int]) -> list[int]:
        """The texts of which all changes and limits leave most: short, in one line."""
        texts = [self._texts[row] for row in rows]
        counts = self._trials.tokens(recipe, texts)
        changed = [sum(change(text) != text for change in CHANGES.values()) for text in texts]
        order = sorted(range(len(rows)), key=lambda place: (counts[place] > 100, changed[place], counts[place]))
        return [rows[place] for place in order[:_PLAIN]]
