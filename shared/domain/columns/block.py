"""The block: many relationships held as columns, the working memory of scoring, rescoring and backtest.

A row is one relationship. What changes with every event or is evaluated at array speed lies in numpy columns (series
of daily counts in rings, facts as numbers); what changes seldom (directory, facts, flags) in the row's state.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.domain.columns.columns import NOW, Columns
from shared.domain.columns.counters import DayCells, MonthCells
from shared.domain.columns.dedup import SeenIds
from shared.domain.columns.fact_columns import FACT_COLUMNS, fact_values
from shared.domain.columns.history import History
from shared.domain.columns.months import USE, Month
from shared.domain.columns.row import NEVER, TOTAL_DAYS, TOTALS, Entry, Row
from shared.domain.columns.view import View
from shared.domain.contract.days import Day, month_of
from shared.domain.contract.events import Millis
from shared.domain.relationship.fence import Fence, same_log
from shared.domain.relationship.state import RelationshipState

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# About what a row takes, as tracemalloc has it for rows of 20 to 100 counters: its series and facts, its state with
# what is stored of it, and what comes with each person, day or change that its facts hold.
ROW_BYTES = (TOTALS * TOTAL_DAYS + len(FACT_COLUMNS)) * 8 + 11_000
BYTES_A_FACT = 250

_FIRST_SEEN = FACT_COLUMNS.index("first_seen")


class Block:
    """Rows by id, their series, and the numbers of their facts.

    `feature_days`: how far back features must reach; `window`: days within which an event id counts once; `phase`: how
    far into the hour the canonical moments of a relationship lie.
    """

    def __init__(
        self,
        feature_days: int,
        window: int = 7,
        capacity: int = 64,
        phase: Callable[[str], Millis] = lambda id: 0,
    ) -> None:
        self._phase = phase
        self.columns = Columns(feature_days, capacity)
        self.rows: OrderedDict[str, Row] = OrderedDict()  # the one used longest ago first
        self.weight = 0  # of all rows
        self._by_place: dict[int, Row] = {}
        self.ids = SeenIds(window)

    # --- rows come and go ---------------------------------------------------------------------------------------

    def add(self, state: RelationshipState, months: Iterable[Month] = (), *, unknown_months: bool = False) -> Row:
        """Take a relationship in: its state and the month documents that reach back over the series."""
        row = Row(self.columns.take(), self.ids.enter(), state, self._phase(state.id))
        row.unknown_months = unknown_months
        self.columns.phases[row.index] = row.phase
        self.columns.due[row.index] = state.next_due_at
        for name, due in state.due.items():
            self.columns.due_column(name)[row.index] = due
        self.refresh_facts(row)
        self.rows[state.id] = self._by_place[row.index] = row
        self.add_months((row, month) for month in months)
        self.weigh(row)
        return row

    def add_months(self, found: Iterable[tuple[Row, Month]]) -> None:
        """Take months of counters in; their rows must not hold them yet."""
        loaded = [(row, MonthCells.load(month)) for row, month in found]
        for row, cells in loaded:
            row.cells[cells.month] = cells
        packed = [(row, cells.first, cells.packed) for row, cells in loaded if cells.packed]
        if packed:
            History(self.columns, packed).enter()

    def evict(self, row: Row) -> None:
        """Let a row go; whoever calls has stored it, or means to forget it."""
        del self.rows[row.state.id], self._by_place[row.index]
        self.weight -= row.weight
        for month in row.cells.values():
            month.days = {}  # days know their month: without this only a look for garbage would free them
        self.ids.leave(row.tag)
        self.columns.give_back(row)

    def touch(self, row: Row) -> None:
        """Note a use: what was used longest ago is let go of first."""
        self.rows.move_to_end(row.state.id)

    def weigh(self, row: Row) -> None:
        """Note about how much memory a row takes now."""
        counters = sum(month.weight for month in row.cells.values())
        state = row.state
        facts = len(state.facts.people) + len(state.facts.inbound_days) + len(state.facts.promises)
        facts += len(state.changes) + len(state.score_days)
        series = len(row.slots) * self.columns.feature_days * 8
        weight = ROW_BYTES + series + counters + (len(row.people) + facts) * BYTES_A_FACT
        self.weight += weight - row.weight
        row.weight = weight

    def surplus(self, budget: int) -> list[Row]:
        """Rows to let go of so that the others and the event ids take at most `budget` bytes, as far as that goes.

        Those used longest ago first; none that holds anything unsaved.
        """
        excess = self.weight + self.ids.nbytes - budget
        found: list[Row] = []
        for row in self.rows.values():
            if excess <= 0:
                break
            if not row.unsaved:
                found.append(row)
                excess -= row.weight
        return found

    def refresh_facts(self, row: Row) -> None:
        """The row's facts have changed: renew their numbers."""
        self.columns.facts[row.index] = fact_values(row)

    def schedule(self, row: Row, due: Millis) -> None:
        """The row falls due then (0 = never)."""
        row.state.next_due_at = due
        self.columns.due[row.index] = due

    def due(self, now: Millis, partition: int) -> Iterator[Row]:
        """The rows of a partition that are due by `now`; they may be evaluated meanwhile."""
        due = self.columns.due
        for place in np.flatnonzero((due > 0) & (due <= now)):
            row = self._by_place[int(place)]
            if row.state.partition == partition:
                yield row

    def reaches(self, row: Row, day: Day, days: int) -> bool:
        """Whether the series of a row's features hold the `days` days up to this one."""
        return int(self.columns.horizons[row.index]) - day + days <= self.columns.feature_days

    def dues(self, row: Row) -> dict[str, Millis]:
        """When the row is due for what: each rule that has been run, and the scores."""
        return {name: due for name, column in self.columns.due_for.items() if (due := int(column[row.index])) != NOW}

    def first_seen(self, row: Row, time: Millis) -> None:
        """The row is known from an earlier moment on."""
        row.state.first_seen = time
        self.columns.facts[row.index, _FIRST_SEEN] = time or np.nan

    # --- counting -----------------------------------------------------------------------------------------------

    def count(self, row: Row, entries: Sequence[Entry], fence: Fence, *, absolute: bool = False) -> None:
        """Add amounts to days' counters (or set them), except in months that have been folded that far already.

        An absolute total without a person replaces whatever was counted for the metric on that day. Beyond the bounds
        of a month it is not known whose counter it would replace: there it adds.
        """
        months = [row.month(month_of(entry.day)) for entry in entries]
        admitted = [month.admits(fence) for month in months]
        undone: set[str] = set()
        for entry, month, fresh in zip(entries, months, admitted, strict=True):
            if not fresh:
                continue
            month.move(fence)
            metric, person = month.kept(entry.day, entry.metric, entry.person)
            known = (metric, person) == (entry.metric, entry.person)
            fold = month.set_total if absolute and known else month.add
            for who, delta in fold(entry.day, metric, person, entry.amount):
                if self._record(row, metric, who, entry.day, delta):
                    undone.add(who)
        if undone:
            self._see_again(row, undone)

    def open_day(self, row: Row, day: Day, place: Fence) -> DayCells:
        """The counters of a day, into which a record there is about to be folded."""
        self.columns.advance(row, day)
        month = row.month(month_of(day))
        if not same_log(month, place):
            month.move(Fence(place.incarnation, place.partition))  # of this log nothing has been folded in yet
        cells = row.days[day] = month.open(day)
        return cells

    def _record(self, row: Row, metric: str, person: str, day: Day, delta: float) -> bool:
        """Enter a change of a counter; whether it leaves open on which day the person was seen last."""
        usage = metric.startswith(USE)
        self.columns.count(row, metric, metric[len(USE) :] if usage else None, day, delta)
        return usage and bool(person) and self._saw(row, person, day, delta)

    def _saw(self, row: Row, person: str, day: Day, delta: float) -> bool:
        last = row.people.get(person, NEVER)
        if delta > 0 and day > last:
            row.saw(person, day)
        return delta < 0 and day == last

    def _see_again(self, row: Row, persons: set[str]) -> None:
        """Find the last days of persons whose last day may have been undone, all in one pass: it may be a long one."""
        left = set(persons)
        row.people.update(dict.fromkeys(persons, NEVER))
        for name in sorted(row.cells, reverse=True):
            found = row.cells[name].last_uses(left)
            row.people.update(found)
            left.difference_update(found)
            if not left:
                break
        row.active = None

    # --- what rules and scores look at -----------------------------------------------------------------------------

    def view(self, rows: Sequence[Row], at: Sequence[int]) -> View:
        """These rows as of these moments (ms, one a row): of days gone by only as far as the series reach."""
        view = View(self.columns, rows, np.asarray(at, np.int64))
        for position in np.flatnonzero(view.day > self.columns.horizons[view.index]).tolist():
            self.columns.advance(rows[position], int(view.day[position]))
        return view
