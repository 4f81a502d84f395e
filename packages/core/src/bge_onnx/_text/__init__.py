"""What does the model read?"""

from __future__ import annotations
