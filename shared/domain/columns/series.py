"""Series of daily counts as they lie in rings, and what is asked of them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@cache
def kernels() -> Any:
    """The compiled loops. To load them takes a second, for which only those wait who need them."""
    return import_module("shared.domain.columns.kernels")


class Series(NamedTuple):
    """Some of the rings of daily counts, each as of a day. What is asked of them has one entry (or line) for each."""

    rings: Floats
    places: Ints
    today: Ints

    @classmethod
    def of(cls, counts: Floats) -> Series:
        """Series from their counts: shape (series, days), today first."""
        rings = np.ascontiguousarray(counts[:, ::-1], np.float64)
        return cls(rings, np.arange(len(counts)), np.full(len(counts), counts.shape[1] - 1))

    def take(self, which: Ints | Bools) -> Series:
        """Some of them."""
        return Series(self.rings, self.places[which], self.today[which])

    def counts(self, days: int) -> Floats:
        """The last `days` days, today first: shape (series, days)."""
        found: Floats = kernels().counts(*self, days)
        return found

    def sums(self, days: int) -> Floats:
        """What the last `days` days add up to."""
        found: Floats = kernels().sums(*self, days)
        return found

    def days_with(self, days: int) -> Floats:
        """On how many of the last `days` days there is anything."""
        return self.days_with_either(self, days)

    def days_with_either(self, other: Series, days: int) -> Floats:
        """On how many of the last `days` days there is anything, here or in the other series of the same rings."""
        found: Floats = kernels().days_with(self.rings, self.places, other.places, self.today, days)
        return found

    def used(self, days: int) -> Bools:
        """Whether there is anything in the last `days` days."""
        found: Bools = kernels().used(*self, days)
        return found
