"""Loops that are compiled when a process first needs them, and kept compiled between processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from numba import config, njit

P = ParamSpec("P")
R = TypeVar("R")

if not (config.CACHE_DIR or config.CACHE_LOCATOR_CLASSES):  # type: ignore[attr-defined]
    # Not beside the source, which may be somebody else's
    config.CACHE_LOCATOR_CLASSES = "UserWideCacheLocator"  # type: ignore[attr-defined]


def compiled(loop: Callable[P, R]) -> Callable[P, R]:
    """This function over numbers and arrays as machine code; with NUMBA_DISABLE_JIT=1 as it stands.

    A division by zero gives what it gives in arrays: infinity or NaN.
    """
    return _compiled(loop, False)


def compiled_sum(loop: Callable[P, R]) -> Callable[P, R]:
    """The same of a sum of whole numbers, which is the same in whatever order they are added."""
    return _compiled(loop, {"reassoc"})


def _compiled(loop: Callable[P, R], freedom: bool | set[str]) -> Callable[P, R]:
    try:
        fast: Callable[P, R] = njit(cache=True, error_model="numpy", fastmath=freedom)(loop)
    except RuntimeError:  # nowhere to keep it, as on a read-only file system: each process compiles it anew
        fast = njit(error_model="numpy", fastmath=freedom)(loop)
    return fast
