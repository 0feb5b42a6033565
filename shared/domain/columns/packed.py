"""A month's counters as columns, which is how they are kept as long as nothing is counted in them."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from sys import intern
from typing import NamedTuple

from shared.domain.columns.months import Month

PACKED_BYTES = 1_000  # about what a sealed month takes in memory, and what each of its counters adds to that
BYTES_A_PACKED_CELL = 17


class Packed(NamedTuple):
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
        return PACKED_BYTES + BYTES_A_PACKED_CELL * len(self.days)

    def by_day(self) -> Iterator[tuple[int, dict[int, float]]]:
        """Counts by code for each day of the month that has any."""
        codes, counts, at = array("q", self.codes), array("d", self.counts), 0
        for day in dict.fromkeys(self.days):
            end = at + self.days.count(day)
            yield day, dict(zip(codes[at:end], counts[at:end], strict=True))
            at = end


def packed_document(month: Month) -> Packed:
    """The counters of a document."""
    days = [int(name[1:]) for name in month.days]
    return _packed(month.metrics, month.persons, days, *zip(*month.days.values(), strict=True))


def packed_counts(metrics: Iterable[str], persons: Iterable[str], counts: Mapping[int, Mapping[int, float]]) -> Packed:
    """Counts by day of the month and code."""
    return _packed(metrics, persons, counts, counts.values(), [mine.values() for mine in counts.values()])


def _packed(
    metrics: Iterable[str],
    persons: Iterable[str],
    days: Iterable[int],
    codes: Iterable[Collection[int]] = (),
    counts: Iterable[Iterable[float]] = (),
) -> Packed:
    """`codes` and `counts`: of each of these days."""
    return Packed(
        tuple(map(intern, metrics)),  # the same come again in every month
        tuple(map(intern, persons)),
        b"".join([_BYTES[day] * len(mine) for day, mine in zip(days, codes, strict=True)]),
        array("q", chain.from_iterable(codes)).tobytes(),
        array("d", chain.from_iterable(counts)).tobytes(),
    )


_BYTES = [bytes((day,)) for day in range(32)]
