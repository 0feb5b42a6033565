"""One month of counters while it is in memory: days of cells, folded up to a fence of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from shared.domain.columns.months import METRICS_MOST, USE, Month, code_parts
from shared.domain.columns.packed import Packed, packed_counts, packed_document
from shared.domain.contract.days import Day, day_field, day_number
from shared.domain.relationship.fence import Fence, same_log

METRICS_KEPT = 500  # in a month of one relationship; what comes later counts as OTHERS of its family
MONTH_BYTES = 8 << 20  # about as much as a month's document may take: half of what MongoDB stores in one
OTHERS = "(others)"  # stands for features, channels and persons beyond these bounds
CELL_BYTES = 50  # of three numbers in a list
OPEN_BYTES, BYTES_A_CELL = 2_000, 140  # about what an open month takes in memory, and what each counter adds to that

Delta = tuple[str, float]
"""A person ("" for nobody in particular) and by how much their counter has changed."""


class DayCells:
    """Counts of one day by code (see `usage.code_parts`), in the order they appeared."""

    __slots__ = ("changed", "counts", "day", "month")

    def __init__(self, day: Day, month: MonthCells) -> None:
        self.day = day
        self.month = month
        self.counts: dict[int, float] = {}
        self.changed = False


class MonthCells:
    """Counters of one relationship in one month, by day, metric and person.

    Metrics and persons are numbered in the order they appeared. Bounded: beyond METRICS_KEPT and MONTH_BYTES, what is
    new counts together, as OTHERS. As long as it is sealed, its columns are all there is: `Row.month` opens it.
    """

    __slots__ = (
        "bytes",
        "changed",
        "changed_scores",
        "days",
        "first",
        "incarnation",
        "metrics",
        "month",
        "packed",
        "partition",
        "persons",
        "position",
        "rev",
        "scores",
        "stored_metrics",
        "stored_persons",
        "uses",
    )

    def __init__(self, month: str) -> None:
        self.month = month
        self.first = day_number(month + "-01")
        self.packed: Packed | None = None
        self.incarnation, self.partition, self.position = "", -1, -1  # folded up to here
        self.rev = 0
        self.days: dict[Day, DayCells] = {}
        self.metrics: dict[str, int] = {}  # metric → its part of a code, which is its place
        self.persons: dict[str, int] = {"": 0}  # person → their part of a code: their place × METRICS_MOST
        self.stored_metrics = self.stored_persons = 0  # so many are in the document
        self.uses: dict[str, int] = {}  # feature → what `metrics` has for its use
        self.scores: dict[str, tuple[float | None, float | None]] = {}  # recorded since it was loaded
        self.changed_scores: set[str] = set()
        self.changed = False
        self.bytes = 0

    @classmethod
    def load(cls, month: Month) -> MonthCells:
        """From its document: sealed, and without the scores that are recorded there."""
        cells = cls(month.month)
        cells.incarnation, cells.partition, cells.position = month.incarnation, month.partition, month.position
        cells.rev = month.rev
        cells.packed = packed_document(month)
        cells.stored_metrics, cells.stored_persons = len(month.metrics), len(month.persons)
        return cells

    def unpack(self) -> None:
        """Have its counters at hand, to count and to look at."""
        packed, self.packed = self.packed, None
        if packed is None:
            return
        for metric in packed.metrics:
            self._enter_metric(metric)
        for person in packed.persons[1:]:
            self._enter_person(person)
        for number, counts in packed.by_day():
            day = self.first + number - 1
            self.days[day] = DayCells(day, self)
            self.days[day].counts = counts
        self.bytes += CELL_BYTES * len(packed.days)

    def pack(self) -> None:
        """Keep it in less memory, unless it holds anything that is not stored."""
        if self.changed or self.packed is not None or not self.rev:
            return
        counts = {day - self.first + 1: cells.counts for day, cells in self.days.items()}
        self.packed = packed_counts(self.metrics, self.persons, counts)
        self.days, self.metrics, self.persons, self.uses, self.scores = {}, {}, {"": 0}, {}, {}
        self.bytes = 0

    @property
    def weight(self) -> int:
        """About the memory it takes: bytes."""
        if self.packed is not None:
            return self.packed.weight
        return OPEN_BYTES + self.bytes // CELL_BYTES * BYTES_A_CELL

    @property
    def fence(self) -> Fence:
        """The place of the last record that was folded in."""
        return Fence(self.incarnation, self.partition, self.position)

    def admits(self, place: Fence) -> bool:
        """Whether a record there has not been folded in yet."""
        return not same_log(self, place) or place.position > self.position

    def move(self, place: Fence) -> None:
        """A record there has been folded in."""
        self.incarnation, self.partition, self.position = place.incarnation, place.partition, place.position

    def open(self, day: Day) -> DayCells:
        """The cells of a day of this month."""
        cells = self.days.get(day)
        if cells is None:
            cells = self.days[day] = DayCells(day, self)
        return cells

    def code(self, metric: str, person: str) -> int:
        """The code of a counter, whose names are entered where they are new."""
        what, who = self.metrics.get(metric), self.persons.get(person)
        if what is None:
            what = self._enter_metric(metric)
        if who is None:
            who = self._enter_person(person)
        return who + what

    def add(self, day: Day, metric: str, person: str, amount: float) -> Iterable[Delta]:
        """Add to a counter."""
        cells = self.open(day)
        code = self.code(metric, person)
        known = cells.counts.get(code)
        if known is None:
            self.bytes += CELL_BYTES
        cells.counts[code] = (known or 0.0) + amount
        cells.changed = self.changed = True
        return ((person, amount),)

    def set_total(self, day: Day, metric: str, person: str, amount: float) -> Iterable[Delta]:
        """Set a counter; without a person, set the metric's total of the day and forget who made it up."""
        targets = {person: amount}
        if not person:
            persons, place = list(self.persons), self.metrics.get(metric)
            found = [who for who, what in map(code_parts, self.open(day).counts) if what == place]
            targets = {persons[who]: 0.0 for who in found} | targets
        return [(who, self._set(day, metric, who, wanted)) for who, wanted in targets.items()]

    def _set(self, day: Day, metric: str, person: str, wanted: float) -> float:
        """Set one counter; by how much it has changed."""
        self.add(day, metric, person, 0.0)
        counts, code = self.days[day].counts, self.code(metric, person)
        had, counts[code] = counts[code], wanted
        return wanted - had

    def kept(self, day: Day, metric: str, person: str) -> tuple[str, str]:
        """The metric and person of the counter to use for these: themselves, or OTHERS beyond the bounds."""
        what, who = self.metrics.get(metric), self.persons.get(person)
        if what is not None and who is not None and day in self.days and who + what in self.days[day].counts:
            return metric, person
        if what is None and len(self.metrics) >= METRICS_KEPT:
            metric = metric[: metric.index(":") + 1] + OTHERS
        return metric, person if self.bytes < MONTH_BYTES or not person else OTHERS

    def record_scores(self, day: Day, pair: tuple[float | None, float | None]) -> None:
        """Keep the scores of a day of this month."""
        number = day_field(day)
        if self.scores.get(number) != pair:
            self.scores[number] = pair
            self.changed_scores.add(number)
            self.changed = True

    @property
    def scores_alone(self) -> bool:
        """Whether nothing but scores has changed since it was stored."""
        return bool(self.changed_scores) and not any(day.changed for day in self.days.values())

    @property
    def roomy(self) -> bool:
        """Whether whatever comes can have a counter of its own."""
        return len(self.metrics) < METRICS_KEPT and self.bytes < MONTH_BYTES

    def _enter_metric(self, metric: str) -> int:
        what = self.metrics[metric] = len(self.metrics)
        if metric.startswith(USE):
            self.uses[metric[len(USE) :]] = what
        return what

    def _enter_person(self, person: str) -> int:
        who = self.persons[person] = len(self.persons) * METRICS_MOST
        self.bytes += CELL_BYTES + len(person.encode())
        return who

    def last_uses(self, persons: Iterable[str]) -> dict[str, Day]:
        """The last day of this month on which they used anything, of those of these persons who did."""
        self.unpack()
        wanted = {self.persons[person]: person for person in persons if person in self.persons}
        uses, found = set(self.uses.values()), dict[str, Day]()
        for day in sorted(self.days, reverse=True):
            for who in _users(self.days[day].counts, uses, wanted):
                found[wanted.pop(who)] = day
        return found

    def fields(self) -> dict[str, Any]:
        """What has changed since it was stored, by dotted path: days, scores, and the names if there are more."""
        fields: dict[str, Any] = {
            f"days.{day_field(number)}": [list(day.counts), list(day.counts.values())]
            for number, day in self.days.items()
            if day.changed
        }
        fields |= {f"scores.{day}": list(self.scores[day]) for day in sorted(self.changed_scores)}
        if len(self.metrics) > self.stored_metrics:
            fields["metrics"] = list(self.metrics)
        if len(self.persons) > self.stored_persons:
            fields["persons"] = list(self.persons)
        return fields

    def stored(self) -> None:
        """Everything is in the document now."""
        self.rev += 1
        if self.packed is None:
            self.stored_metrics, self.stored_persons = len(self.metrics), len(self.persons)
        self.changed_scores.clear()
        for day in self.days.values():
            day.changed = False
        self.changed = False


def _users(counts: Mapping[int, float], uses: Collection[int], persons: Collection[int]) -> set[int]:
    """Who of these persons has a count of any of these uses.

    Goes through whatever is less: the counters, or every use of every person.
    """
    if len(persons) * len(uses) < len(counts):
        return {who for who in persons if any(counts.get(who + what) for what in uses)}
    return {
        code - code % METRICS_MOST for code, count in counts.items() if count and code % METRICS_MOST in uses
    }.intersection(persons)
