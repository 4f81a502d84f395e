"""Is it right? Whether stored vectors can stay, and scores beside published ones."""

from __future__ import annotations

from bge_onnx._text.roles import Role
from bge_onnx.evaluation.index import check_index
from bge_onnx.evaluation.recipes import Recipe
from bge_onnx.evaluation.report import IndexReport, Length, Part, Verdict

__all__ = ["IndexReport", "Length", "Part", "Recipe", "Role", "Verdict", "check_index"]
