"""What follows from the recipes that were found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bge_onnx import ModelSpec
from bge_onnx._text.roles import Role
from bge_onnx.evaluation._trials import Trials
from bge_onnx.evaluation.recipes import CHANGES, Change, Recipe, lengths
from bge_onnx.evaluation.report import Part, Verdict

_KEEP = {
    "document": "Keep the index: this package makes the same vectors of these documents.",
    "query": "Keep them: this package makes the same vectors of these queries.",
}
_NONE = (
    "Re-embed, unless you can name the model that made them (others=[...]); check also that these texts are exactly "
    "what was embedded, and in the order of the vectors."
)
_LENGTH = (
    " Their lengths differ from 1, which this package gives: cosine similarity does not see that; for dot product or "
    "Euclidean distance divide each stored vector by its length, or embed with normalize=False."
)
# int8, made locally, keeps a mean cosine of .9996 to fp32 and its STSBenchmark score within .05 points.
_LOW_PRECISION = 0.999
_STRAY = 0.1  # the share of texts without a recipe up to which the others speak for the index


def judge(
    parts: Sequence[Part], unexplained: Sequence[int], *, ours: Recipe, role: Role, spec: ModelSpec
) -> tuple[Verdict, str]:
    """The verdict and its reason."""
    if not parts:
        return "re-embed", _NONE
    judged = [_judge_part(part, ours, role, spec) for part in parts]
    if len(parts) == 1 and not unexplained:
        return judged[0]
    total = sum(len(part.rows) for part in parts) + len(unexplained)
    if all(verdict == "keep" for verdict, _ in judged) and len(unexplained) <= _STRAY * total:
        strays = " Re-embed what no recipe explains; most likely those texts changed since." if unexplained else ""
        return "keep", judged[0][1] + strays
    kept = sum(len(part.rows) for part, (verdict, _) in zip(parts, judged, strict=True) if verdict == "keep")
    return "re-embed", (
        f"Re-embed: the vectors were made in more than one way, and {kept} of {total} are what this package makes. "
        "Vectors of different recipes do not belong in one collection."
    )


def _judge_part(part: Part, ours: Recipe, role: Role, spec: ModelSpec) -> tuple[Verdict, str]:
    length = "" if part.length == "one" else _LENGTH
    if part.ours:
        instructed = role == "document" and spec.query_instruction
        queries = (
            f" Queries carry {spec.query_instruction!r} here; where yours did not, their vectors change."
            if instructed
            else ""
        )
        return "keep", _KEEP[role] + length + queries
    recipe = part.recipe
    if replace(recipe, precision=ours.precision) == ours and part.cosine_to_ours >= _LOW_PRECISION:
        exact = f"; use precision={recipe.precision!r} for the same numbers" if part.same else ""
        return "keep", f"Keep them: only the precision differs (cosine {part.cosine_to_ours:.4f}){exact}.{length}"
    if part.same and role == "query" and replace(recipe, prefix=ours.prefix, change=ours.change) == ours:
        return "queries-change", (
            f"Only queries change: {_prefix(ours.prefix)} goes before each here. Documents are not concerned; drop "
            "cached query vectors."
        )
    return "re-embed", f"Re-embed: {_difference(recipe, ours)}."


def _prefix(prefix: str) -> str:
    return repr(prefix) if prefix else "nothing"


def _difference(recipe: Recipe, ours: Recipe) -> str:
    reasons = []
    if recipe.model != ours.model:
        reasons.append(f"another model made them, and its vectors mean nothing to {ours.model}")
    if recipe.precision != ours.precision:
        reasons.append(f"they were made in {recipe.precision}, which is too far from {ours.precision}")
    if recipe.pooling != ours.pooling:
        reasons.append(f"{ours.model} is meant to be read with {ours.pooling} pooling, not {recipe.pooling}")
    if recipe.prefix != ours.prefix:
        reasons.append(f"{_prefix(ours.prefix)} belongs before them, not {_prefix(recipe.prefix)}")
    if recipe.change != ours.change:
        reasons.append(f"the texts were changed first ({recipe.change})")
    if recipe.max_length != ours.max_length:
        reasons.append(f"texts were cut at {recipe.max_length} tokens; those that are longer have other vectors here")
    return "; ".join(reasons) or "this model at a precision or with a change of the text that was not tried"


def undecided(parts: Sequence[Part], trials: Trials, texts: Sequence[str], spec: ModelSpec) -> tuple[str, ...]:
    """What the recipe might do beside, were there texts to show it."""
    if not parts:
        return ()
    recipe = parts[0].recipe
    found = [said for change, said in _UNSEEN.items() if all(CHANGES[change](text) == text for text in texts)]
    longest = max(trials.tokens(replace(recipe, max_length=spec.max_tokens), texts))
    if longest <= min(recipe.max_length, *lengths(spec)):
        found.append(f"where longer texts are cut (the longest one here has {longest} tokens)")
    elif longest <= recipe.max_length:
        beyond = min(length for length in lengths(spec) if length >= longest)
        found.append(f"whether texts of more than {beyond} tokens are cut" if beyond < spec.max_tokens else "")
    return tuple(said for said in found if said)


_UNSEEN: Mapping[Change, str] = {
    "line breaks": "whether line breaks are replaced (no text has one)",
    "strip": "whether outer white space is removed (no text has any)",
    "lower case": "whether texts are put in lower case (none holds a capital)",
}
