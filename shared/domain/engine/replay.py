"""Replay: events of the past go through the engine as if they came live, each received at its own time.

What falls due is evaluated as of its own moment, before the event that comes then or later. Events are folded up to a
day's at a time, and what has fallen due meanwhile is evaluated at the end of it, many relationships together.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice, takewhile

import msgspec

from shared.domain.columns.row import Row
from shared.domain.contract.days import day_of, month_of
from shared.domain.contract.events import DAY, Interaction, Millis, relationship_key
from shared.domain.contract.uses import Use, plain_use
from shared.domain.engine.changes import forget_published
from shared.domain.engine.run import Item, Prefetched, Run, usage_entry
from shared.domain.engine.step import step_many, tick
from shared.domain.engine.terms import Terms
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.flags import FlagChange, Severity
from shared.domain.relationship.state import RelationshipState, Scores
from shared.domain.scores.formulas import score

LOG = "replay"  # in place of a log's incarnation
EVENTS_AT_ONCE = 3_000  # folded together
ROWS_AT_ONCE = 2_000  # evaluated or scored together: what they are judged by is all in memory at the same time


class Flagged(msgspec.Struct, frozen=True):
    """A flag of a relationship was raised or cleared; if cleared, the severity is the one it stood with."""

    relationship: str
    change: FlagChange


class Scored(msgspec.Struct, frozen=True):
    """The scores of a relationship at a moment, with their factors."""

    relationship: str
    at: Millis
    scores: Scores


class Replay:
    """Relationships in memory, and a clock that never goes back.

    How many events are folded at once changes how fast it goes, and nothing of what is said.
    """

    def __init__(self, terms: Terms, events_at_once: int = EVENTS_AT_ONCE) -> None:
        self.clock: Millis = 0
        self.duplicates = 0
        self._terms = terms
        self._events_at_once = events_at_once
        self._block = terms.block()
        self._position = -1
        self._month = ""
        self._untold: list[Flagged] = []
        self._severity: dict[tuple[str, str, str], Severity] = {}  # of what stands, by row, rule and subject

    @property
    def relationships(self) -> int:
        """How many have had an event so far."""
        return len(self._block.rows)

    def run(
        self, events: Iterable[Interaction], until: Millis, at: Iterable[Millis] = ()
    ) -> Iterator[Flagged | Scored]:
        """Replay events, which are in the order of their times, and let the clock go on to `until`.

        Flag changes come in the order of their moments, then of relationships; at each moment of `at` up to `until`,
        the scores of all relationships that have had an event by then.
        """
        moments = sorted({moment for moment in at if moment <= until})
        done = 0
        coming = takewhile(lambda event: event.time <= until, events)
        for (passed, end), part in groupby(coming, lambda one: (bisect_left(moments, one.time), _midnight(one.time))):
            yield from self._reach(moments[done:passed])
            done = passed
            while some := list(islice(part, self._events_at_once)):
                self.take(some)
            self.advance(min([end, until, *moments[done : done + 1]]))
            yield from self.told(self.clock)
        yield from self._reach(moments[done:])
        self.advance(until)
        yield from self.told()

    def _reach(self, moments: Iterable[Millis]) -> Iterator[Flagged | Scored]:
        for moment in moments:
            self.advance(moment)
            yield from self.told(moment)
            yield from self.scores()

    def take(self, events: Sequence[Interaction]) -> None:
        """Fold events, of which none lies before the clock, in the order of their times."""
        if not events:
            return
        if events[0].time < self.clock:
            raise ValueError(f"an event of {events[0].time} comes after the clock has reached {self.clock}")
        step = step_many(self._block, self._run(events), Prefetched({}, {}), self._terms, LOG, 0)
        self.clock = events[-1].time
        self.duplicates += step.duplicates
        for row in step.touched.values():
            row.new_ids = []  # nothing is stored
        self._note_changes(step.touched.values())

    def _run(self, events: Sequence[Interaction]) -> Run:
        """These events as a run of a log, and a row for each of their relationships."""
        placed: dict[str, list[tuple[int, Interaction]]] = {}
        for position, event in enumerate(events, self._position + 1):
            placed.setdefault(relationship_key(event.tenant, event.relationship), []).append((position, event))
        self._position += len(events)
        run = Run()
        for id, mine in placed.items():
            if id not in self._block.rows:
                _, event = mine[0]
                self._block.add(RelationshipState(id=id, tenant=event.tenant, relationship=event.relationship))
            positions, times = [position for position, _ in mine], [event.time for _, event in mine]
            run.append(id, [_arrived(event, position) for position, event in mine], positions, times)
        return run

    def advance(self, now: Millis) -> None:
        """Let the clock go on to `now`: evaluate all that is due by then, a day at a time."""
        rows = self._block.rows.values()
        while (soonest := min((row.state.next_due_at or now + 1 for row in rows), default=now + 1)) <= now:
            self._tick(min(now, _midnight(soonest)))
        self.clock = max(self.clock, now)

    def _tick(self, now: Millis) -> None:
        self._position += 1
        due = [row for row in self._block.rows.values() if 0 < row.state.next_due_at <= now]
        for rows in _portions(due):
            tick(self._block, rows, now, self._terms, Fence(LOG, 0, self._position))
        self._note_changes(due)
        self._block.ids.expire(day_of(now))
        month = month_of(day_of(now))
        if month != self._month:
            self._month = month
            for row in self._block.rows.values():
                _seal_before(row, month)

    def told(self, before: Millis | None = None) -> list[Flagged]:
        """The flag changes of moments before this one (None: all) that have not been told yet, in their order."""
        self._untold.sort(key=lambda one: (one.change.moment, one.relationship))
        count = len(self._untold)
        if before is not None:
            count = bisect_left(self._untold, before, key=lambda one: one.change.moment)
        told, self._untold = self._untold[:count], self._untold[count:]
        return told

    def scores(self) -> Iterator[Scored]:
        """The scores of all relationships as of the clock, by the names of these."""
        known = sorted(self._block.rows.values(), key=lambda row: row.state.relationship)
        for rows in _portions(known):
            found = score(self._block.view(rows, [self.clock] * len(rows)))
            for row, scores in zip(rows, found, strict=True):
                yield Scored(row.state.relationship, self.clock, scores)

    def _note_changes(self, rows: Iterable[Row]) -> None:
        """Take what is new among the changes of these rows' flags, of which a row keeps only the latest."""
        for row in rows:
            changes = row.state.changes
            if changes and changes[-1].cause.position >= row.published:
                self._untold += [self._flagged(row, one) for one in changes if one.cause.position >= row.published]
                forget_published(row, LOG)

    def _flagged(self, row: Row, change: FlagChange) -> Flagged:
        key = (row.state.id, change.rule, change.subject)
        if change.raised:
            self._severity[key] = change.severity
        else:
            change = msgspec.structs.replace(change, severity=self._severity.pop(key))
        return Flagged(row.state.relationship, change)


def _arrived(event: Interaction, position: int) -> Use | Item:
    """An accepted event as the engine takes it: history, too, counts as live."""
    use = plain_use(event)
    if use is not None:
        return Use(event.tenant, event.relationship, event.id, event.source, event.type, event.time, use)
    if event.backfill:
        event = msgspec.structs.replace(event, backfill=False)
    data = msgspec.json.decode(event.data, type=dict)
    return Item(position, event.time, event, data, usage_entry(event, data))


def _seal_before(row: Row, month: str) -> None:
    """Keep the row's counters of earlier months in little memory, as if they had been stored."""
    row.days = {}
    for name, cells in list(row.cells.items()):
        if name < month and cells.packed is None:
            if cells.days:
                cells.stored()
                cells.pack()
            else:
                del row.cells[name]  # scores alone, which nobody will ask for


def _portions(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    return (rows[at : at + ROWS_AT_ONCE] for at in range(0, len(rows), ROWS_AT_ONCE))


def _midnight(at: Millis) -> Millis:
    """The first midnight (UTC) that is not before this moment."""
    return -(-at // DAY) * DAY
