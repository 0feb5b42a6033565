"""A scoring worker with a fuse: `python -m tests.e2e.failing_worker`. Its engine fails once.

RAPPORT_TEST_FUSE names a file. Once it exists, it holds a number n: with the batch in which the n-th event from then on
lies, the engine fails. It has folded the batch by then, so what it leaves in memory must not be stored.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from services.scoring import __main__ as worker
from services.scoring import processor as scoring_processor
from shared.entry import main

FUSE = "RAPPORT_TEST_FUSE"
processor: Any = scoring_processor  # in which the engine is replaced


class Planted(Exception):
    """What the engine raises."""


class Fuse:
    """Stands in for the engine's `step_many`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine = processor.step_many
        self._seen = 0

    def __call__(self, block: Any, items: Any, *others: Any) -> Any:
        if not self._path.exists():
            return self._engine(block, items, *others)
        self._seen += length(items)
        done = self._engine(block, items, *others)
        if self._seen <= int(self._path.read_text()):
            return done
        self._path.unlink()
        raise Planted("planted in the engine")


def length(items: Any) -> int:
    """How many events these are: a list of them, or columns."""
    return len(getattr(items, "positions", items))


if __name__ == "__main__":
    processor.step_many = Fuse(Path(os.environ[FUSE]))
    main("scoring", worker.serve)
