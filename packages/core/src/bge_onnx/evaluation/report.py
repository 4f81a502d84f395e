"""What `check_index` found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from bge_onnx._text.roles import Role
from bge_onnx.evaluation.recipes import Recipe

__all__ = ["IndexReport", "Length", "Part", "Verdict"]

Verdict: TypeAlias = Literal["keep", "queries-change", "re-embed"]
Length: TypeAlias = Literal["one", "raw", "other"]

_LENGTHS: Mapping[Length, str] = {
    "one": "normalised to length 1",
    "raw": "not normalised",
    "other": "with lengths that are neither 1 nor the model's own",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The texts of the sample that one recipe explains.

    Attributes:
        recipe: How their vectors were made.
        rows: Positions of the texts in the list that was passed.
        length: Whether the vectors have length 1, the model's own length, or another one.
        same: Whether the recipe gives these vectors up to rounding; else it is merely the nearest.
        mean_cosine: Between stored vectors and those of the recipe, over the texts.
        min_cosine: The lowest.
        max_difference: The largest absolute difference in a component, both at length 1.
        cosine_to_ours: The mean between stored vectors and those of this package, used as intended.
        ours: Whether this package, used as intended, makes the same vectors of these texts up to their length.
    """

    recipe: Recipe
    rows: tuple[int, ...]
    length: Length
    same: bool
    mean_cosine: float
    min_cosine: float
    max_difference: float
    cosine_to_ours: float
    ours: bool

    def __str__(self) -> str:
        how = "made by" if self.same else "nearest to, but not the same as,"
        cosine = f"cosine {self.mean_cosine:.6f}, {self.min_cosine:.6f} at worst"
        difference = f", components within {self.max_difference:.1e}" if self.same else ""
        return f"{how} {self.recipe}, {_LENGTHS[self.length]} ({cosine}{difference})"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """Which recipe made stored vectors, and whether they can stay; its `str` is a paragraph for people.

    Attributes:
        model: The model that was asked about.
        role: Whether the texts are documents or queries.
        checked: Texts that were compared.
        dimension: Components of a vector.
        storage: The number format that the stored values fit in, such as "float32" or "int8".
        verdict: "keep"; "queries-change", if only the instruction before queries differs; or "re-embed".
        advice: The verdict in words, with its conditions.
        parts: What was found, the recipe that explains most texts first; empty if no recipe came near.
        unexplained: Positions of texts that no recipe explains.
        undecided: What this sample cannot tell.
        cautions: What is odd about the sample itself.
        skipped: Models that might have been tried and were not, with the reason.
        tried: Recipes that were compared.
        nearest: The highest mean cosine that any recipe reached.
    """

    model: str
    role: Role
    checked: int
    dimension: int
    storage: str
    verdict: Verdict
    advice: str
    parts: tuple[Part, ...]
    unexplained: tuple[int, ...]
    undecided: tuple[str, ...]
    cautions: tuple[str, ...]
    skipped: tuple[str, ...]
    tried: int
    nearest: float

    def __str__(self) -> str:
        sentences = [f"{self._found()}.", self.advice]
        if self.unexplained and self.parts:
            sentences.append(f"No recipe explains {_rows(self.unexplained)}.")
        if self.undecided:
            sentences.append(f"This sample cannot tell: {'; '.join(self.undecided)}.")
        sentences += self.cautions
        if self.skipped:
            sentences.append(f"Not tried: {'; '.join(self.skipped)}.")
        return " ".join(sentences)

    def as_dict(self) -> dict[str, Any]:
        """Everything in types that JSON knows."""
        found = asdict(self)
        for part, plain in zip(self.parts, found["parts"], strict=True):
            plain["text"] = str(part)
        return {**found, "text": str(self)}

    def _found(self) -> str:
        kind = "documents" if self.role == "document" else "queries"
        checked = f"{self.checked} {kind} of {self.dimension} components in {self.storage}"
        if not self.parts:
            return (
                f"{checked}: made by none of {self.tried} recipes (the nearest reaches a cosine of {self.nearest:.3f})"
            )
        if len(self.parts) == 1 and not self.unexplained:
            return f"{checked}: {self.parts[0]}"
        return f"{checked}: " + "; ".join(f"{len(part.rows)} {part}" for part in self.parts)


def _rows(rows: tuple[int, ...], *, shown: int = 8) -> str:
    named = ", ".join(map(str, rows[:shown])) + (", ..." if len(rows) > shown else "")
    return f"{len(rows)} texts (positions {named})" if len(rows) > 1 else f"the text at position {named}"
