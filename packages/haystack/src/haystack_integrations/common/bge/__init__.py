"""What the BGE components of embedders and rankers have in common; nothing here is public."""

from __future__ import annotations
