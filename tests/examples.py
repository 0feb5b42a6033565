"""How many examples a costly property is tried with: half of what is meant in `make test`, hundreds in `make soak`."""

from __future__ import annotations

import os

ASKED = int(os.environ.get("RAPPORT_EXAMPLES", "0"))  # the soak asks for hundreds


def examples(meant: int) -> int:
    """For `settings(max_examples=...)`."""
    return max(meant, ASKED) if ASKED else meant // 2
