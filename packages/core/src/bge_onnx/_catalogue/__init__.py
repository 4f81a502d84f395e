"""What is this model?"""

from __future__ import annotations
