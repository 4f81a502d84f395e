"""What do we keep?"""

from __future__ import annotations
