"""A month's counters as columns, which is how they are kept as long as nothing is counted in them."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from sys import intern
from typing import NamedTuple

from shared.domain.usage import Month

SEALED_BYTES = 1_000  # about what a sealed month takes in memory, and what each of its counters adds to that
BYTES_A_SEALED_CELL = 17


class Sealed(NamedTuple):
    """Columns with an entry a counter: its `days` of the month (one byte), `codes` (int64) and `counts` (float64).

    `metrics` and `persons` are those that the codes are made of: see `Month`.
    """

    metrics: tuple[str, ...]
    persons: tuple[str, ...]
    days: bytes
    codes: bytes
    counts: bytes

    @property
    def weight(self) -> int:
        """About the memory it takes: bytes."""
        return SEALED_BYTES + BYTES_A_SEALED_CELL * len(self.days)

    def by_day(self) -> Iterator[tuple[int, dict[int, float]]]:
        """Counts by code for each day of the month that has any."""
        codes, counts, at = array("q", self.codes), array("d", self.counts), 0
        for day in dict.fromkeys(self.days):
            end = at + self.days.count(day)
            yield day, dict(zip(codes[at:end], counts[at:end], strict=True))
            at = end


def sealed_document(month: Month) -> Sealed:
    """The counters of a document."""
    days = [(int(name[1:]), codes, counts) for name, (codes, counts) in month.days.items()]
    return _sealed(month.metrics, month.persons, days)


def sealed_counts(metrics: Iterable[str], persons: Iterable[str], counts: Mapping[int, Mapping[int, float]]) -> Sealed:
    """Counts by day of the month and code."""
    return _sealed(metrics, persons, [(day, list(mine), list(mine.values())) for day, mine in counts.items()])


def _sealed(
    metrics: Iterable[str], persons: Iterable[str], days: Sequence[tuple[int, list[int], list[float]]]
) -> Sealed:
    return Sealed(
        tuple(map(intern, metrics)),  # the same come again in every month
        tuple(map(intern, persons)),
        b"".join(bytes((day,)) * len(codes) for day, codes, _ in days),
        array("q", [code for _, codes, _ in days for code in codes]).tobytes(),
        array("d", [count for _, _, counts in days for count in counts]).tobytes(),
    )
