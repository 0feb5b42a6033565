"""A scoring worker with a fuse: `python -m tests.e2e.failing_worker`. Its engine fails once, in the middle of a batch.

RAPPORT_TEST_FUSE names a file. Once it exists, it holds a number n: the engine folds the events before the n-th that
comes from then on, the file is removed, and an exception is raised.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from msgspec.structs import astuple

from services.scoring import __main__ as worker
from services.scoring import processor
from shared.entry import main

FUSE = "RAPPORT_TEST_FUSE"


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
        before, count = int(self._path.read_text()) - self._seen, length(items)
        self._seen += count
        if before >= count:
            return self._engine(block, items, *others)
        if before:
            self._engine(block, first(items, before), *others)
        self._path.unlink()
        raise Planted(f"planted in the engine, after {before} events of a batch of {count}")


def length(items: Any) -> int:
    """How many events these are: a list, or a struct of columns."""
    return len(items) if isinstance(items, list) else len(astuple(items)[0])


def first(items: Any, count: int) -> Any:
    """The first of them, in the same form."""
    return items[:count] if isinstance(items, list) else type(items)(*(column[:count] for column in astuple(items)))


if __name__ == "__main__":
    processor.step_many = Fuse(Path(os.environ[FUSE]))
    main("scoring", worker.serve)
