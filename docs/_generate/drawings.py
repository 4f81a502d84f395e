"""Drawings of the pages as SVG that takes its colours from the site's theme, light or dark."""

from __future__ import annotations

import json
from pathlib import Path

_WIDTH, _HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 16, 704, 34, 218
# In the order of drawing; site.css says the colours.
_KINDS = ("far", "near", "relevant")


def cosines(root: Path) -> str:
    """Histograms of dense cosines, each of area 1."""
    path = root / "benchmarks" / "results" / "scores" / "bge-small-en-v1.5.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    edges = found["edges"]
    shares = {
        kind: [count / found["kinds"][kind]["pairs"] for count in found["kinds"][kind]["counts"]] for kind in _KINDS
    }
    highest = max(max(values) for values in shares.values())
    low, high = 0.3, 1.0

    def across(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (_RIGHT - _LEFT)

    def up(share: float) -> float:
        return _BOTTOM - share / highest * (_BOTTOM - _TOP)

    parts = [
        f'<svg class="drawing" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" xmlns="http://www.w3.org/2000/svg" '
        'aria-label="Histograms of cosines: others at random around 0.56, the ten best others around 0.73, '
        'relevant documents around 0.78; the last two overlap.">'
    ]
    for kind in _KINDS:
        points = [f"M{across(max(edges[0], low)):.1f},{_BOTTOM}"]
        for left, right, share in zip(edges, edges[1:], shares[kind], strict=False):
            if left >= low - 1e-9:
                points.append(f"L{across(left):.1f},{up(share):.1f}L{across(right):.1f},{up(share):.1f}")
        points.append(f"L{across(high):.1f},{_BOTTOM}Z")
        parts.append(f'<path class="{kind}" d="{"".join(points)}"/>')
    parts.append(f'<line class="axis" x1="{_LEFT}" y1="{_BOTTOM}" x2="{_RIGHT}" y2="{_BOTTOM}"/>')
    for tenth in range(3, 11):
        place = across(tenth / 10)
        parts.append(f'<text x="{place:.1f}" y="{_BOTTOM + 18}" text-anchor="middle">{tenth / 10:.1f}</text>')
    parts.append(f'<text x="{(_LEFT + _RIGHT) / 2}" y="{_BOTTOM + 36}" text-anchor="middle">cosine</text>')
    legend = (("relevant", "relevant", 24), ("near", "the ten best others", 124), ("far", "others at random", 300))
    for kind, title, place in legend:
        parts.append(f'<rect class="{kind}" x="{place}" y="8" width="12" height="12"/>')
        parts.append(f'<text x="{place + 18}" y="19">{title}</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"
