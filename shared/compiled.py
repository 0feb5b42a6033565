"""Loops that are compiled when a process first needs them, and kept compiled between processes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pickle import UnpicklingError
from typing import Any, ParamSpec, TypeVar

from numba import config, njit
from numba.core.caching import FunctionCache

P = ParamSpec("P")
R = TypeVar("R")

if not (config.CACHE_DIR or config.CACHE_LOCATOR_CLASSES):  # type: ignore[attr-defined]
    # Not beside the source, which may be somebody else's
    config.CACHE_LOCATOR_CLASSES = "UserWideCacheLocator"  # type: ignore[attr-defined]

_DAMAGED = (OSError, EOFError, ValueError, UnpicklingError)


def compiled(loop: Callable[P, R]) -> Callable[P, R]:
    """This function over numbers and arrays as machine code; with NUMBA_DISABLE_JIT=1 as it stands.

    A division by zero gives what it gives in arrays: infinity or NaN. Additions stay in the order of the source: every
    processor finds the same. What is kept goes by the source of the loop alone, not by the options given here.
    """
    fast: Any = njit(error_model="numpy")(loop)
    if fast is not loop:
        with suppress(RuntimeError):  # nowhere to keep it, as on a read-only file system: each process compiles it anew
            fast._cache = _Kept(loop)  # type: ignore[no-untyped-call]
    done: Callable[P, R] = fast
    return done


class _Kept(FunctionCache):
    """Numba's cache, except that what cannot be read or written does not count: the loop is compiled all the same."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except _DAMAGED:
            with suppress(OSError):
                self.flush()  # type: ignore[no-untyped-call]
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(*_DAMAGED):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
