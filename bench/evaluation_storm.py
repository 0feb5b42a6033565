"""A storm: very many relationships are due at once, and events go on coming.

How long the processor keeps its turn, and how long an event waits that raises an alert.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Mapping, Sequence
from time import perf_counter, process_time
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np

from bench.evaluation_story import START, key_of, record
from bench.full_path import clock_from, scoring
from bench.throughput_store import LocalStore, Server, Templates
from shared import wire
from shared.domain.contract.events import DAY, HOUR, SECOND, Millis
from shared.domain.relationship.fence import offset_of
from shared.domain.relationship.flags import UpdateBatch
from shared.settings import Settings
from shared.storage.store import Incarnation
from shared.stream.flush_policy import FlushPolicy
from shared.stream.memory import MemoryLog
from shared.stream.ports import Message, Processor
from shared.stream.topics import INTERACTIONS, UPDATES
from shared.telemetry import Metrics

T = TypeVar("T")
LOG = "bench"
DUE: Millis = START * DAY + 6 * HOUR  # when all with any use are looked at again
RATE = 1_000  # events/s that come meanwhile
DETRACTORS = 200  # one of so many events raises an alert at once
ACTIVE = 1_000  # relationships that they are of, at most half of all
FETCH = 4_000  # records at most, as of one megabyte
SETTINGS = Settings(memory_mb=1024)
FLUSH_SECONDS = SETTINGS.flush_min_ms / 1_000, SETTINGS.flush_max_ms / 1_000


class Turn(msgspec.Struct, frozen=True):
    """One call of the processor: which one, seconds by the clock and of CPU."""

    call: str
    wall: float
    cpu: float


class Offered(NamedTuple):
    """An event: its offset, the number of its relationship, when it came, and whether it raises an alert."""

    offset: int
    number: int
    came: Millis
    alerts: bool


class Traffic:
    """Events at RATE from `begin` on, appended to the log when they can be; one of DETRACTORS raises an alert."""

    def __init__(self, log: MemoryLog, active: int, begin: Millis) -> None:
        self._log = log
        self._begin = begin
        self._active = active
        self._began = perf_counter()
        self._count = 0
        self.offered: list[Offered] = []

    async def offer(self) -> None:
        """Append what has come by now."""
        due = int((perf_counter() - self._began) * RATE)
        messages, first = [], self._log.end(INTERACTIONS, 0)
        for serial in range(self._count, due):
            number, at = serial * 7_919 % self._active, self._begin + 1 + serial * 1_000 // RATE
            alerts = serial % DETRACTORS == DETRACTORS - 1
            made = record(number, (at, *(answer(serial) if alerts else use(serial))), serial)
            messages.append(Message(made.value, None, made.headers, at))
            self.offered.append(Offered(first + len(messages) - 1, number, at, alerts))
        self._count = due
        if messages:
            await self._log.append(INTERACTIONS, 0, messages)


def use(serial: int) -> tuple[str, dict[str, Any]]:
    """A plain use."""
    return "usage.feature_used", {"feature": "reports", "person": f"user{serial % 6}@acct.example", "quantity": 1}


def answer(serial: int) -> tuple[str, dict[str, Any]]:
    """Somebody who has not answered before, and would not recommend us."""
    return "survey.answered", {"instrument": "nps", "score": 2, "person": f"person{serial}@acct.example"}


class Driver:
    """Calls a processor as a member of the group does, one call at a time, and notes how long each took.

    While it is behind, it is asked for a slice of what is left to do between two batches.
    """

    def __init__(self, processor: Processor, log: MemoryLog) -> None:
        self._processor = processor
        self._log = log
        self._position = 0
        self._policy = FlushPolicy(*FLUSH_SECONDS, perf_counter())
        self._flushing = False
        self.stored = 0  # everything before this offset is stored
        self.turns: list[Turn] = []

    async def step(self) -> None:
        """A batch, if there is one and room for it; a slice; a part of a flush, if it is time for one."""
        busy, full = False, self._processor.full()
        batch = None if full else self._log.fetch(INTERACTIONS, 0, self._position, FETCH)
        if batch is not None:
            await self._turn("apply", self._processor.apply(batch))
            self._position = batch.records[-1].offset + 1
            left = self._log.end(INTERACTIONS, 0) - self._position
            self._policy.applied(0, len(batch.records), left, perf_counter())
            busy = True
        if self._processor.behind:
            await self._turn("advance", self._processor.advance())
            busy = True
        if full or self._flushing or perf_counter() >= self._policy.due():
            if not self._flushing:
                self._policy.began(perf_counter())
            self._note(await self._turn("flush", self._processor.flush()))
        elif not busy:
            await asyncio.sleep(0.001)

    def _note(self, stored: Mapping[int, int] | None) -> None:
        self._flushing = stored is None
        if stored is not None:
            self._policy.flushed(perf_counter())
            self.stored = stored.get(0, self.stored)

    async def _turn(self, call: str, doing: Awaitable[T]) -> T:
        wall, cpu = perf_counter(), process_time()
        found = await doing
        self.turns.append(Turn(call, perf_counter() - wall, process_time() - cpu))
        return found


async def storm(made: Templates, size: int, warm: float) -> dict[str, Any]:
    """The figures of one storm, before which events came for `warm` seconds: their relationships are in memory then."""
    server, log, begin = Server(made), MemoryLog(), DUE - round(warm * SECOND)
    server.expect(0, map(key_of, range(size)), DUE)
    store = LocalStore(server)
    for topic in (INTERACTIONS, UPDATES):
        await store.set_incarnation(Incarnation(topic, LOG, 1))
    processor = scoring(store, log.publisher(), Metrics("scoring"), clock_from(begin), 1, settings=SETTINGS)
    driver = Driver(processor, log)
    await processor.assigned([0])
    traffic, began = Traffic(log, min(size // 2, ACTIVE), begin), perf_counter()
    while perf_counter() < began + warm:
        await traffic.offer()
        await driver.step()
    driver.turns.clear()
    began, cpu = perf_counter(), process_time()
    while server.earliest_due([0])[0] <= DUE:
        await traffic.offer()
        await driver.step()
    took = perf_counter() - began, process_time() - cpu
    turns = list(driver.turns)
    await traffic.offer()  # what came during the last turn
    while traffic.offered and driver.stored <= traffic.offered[-1][0]:
        await driver.step()
    during, found = [one for one in traffic.offered if one.came > DUE], told(log)
    alerts = [one for one in during if one.alerts]
    return figures(turns, *took, waits(during, found)) | {"alert_ms": spread(waits(alerts, found))}


# --- figures ---------------------------------------------------------------------------------------------------------


def told(log: MemoryLog) -> dict[str, list[tuple[int, Millis]]]:
    """By relationship: what has been stored and told, as the offset it reaches and the moment, in order."""
    found: defaultdict[str, list[tuple[int, Millis]]] = defaultdict(list)
    for published in log.records(UPDATES, 0):
        batch = wire.decode(published.value, UpdateBatch)
        for update in batch.updates:
            found[f"{update.tenant}/{update.relationship}"].append((offset_of(update.cause.position), batch.stored_at))
    return found


def waits(offered: Sequence[Offered], found: Mapping[str, Sequence[tuple[int, Millis]]]) -> list[Millis]:
    """For each event, ms from when it came until its relationship was stored with it."""
    reached = {number: list(found.get(key_of(number), ()))[::-1] for number in {one.number for one in offered}}
    waited = []
    for offset, number, came, _ in offered:
        left = reached[number]
        while left and left[-1][0] < offset:
            left.pop()
        if not left:
            raise RuntimeError(f"the event at offset {offset} was never stored")
        waited.append(left[-1][1] - came)
    return waited


def figures(turns: Sequence[Turn], seconds: float, cpu: float, waited: Sequence[Millis]) -> dict[str, Any]:
    """What the JSON says of a storm: milliseconds of slices of due work and of all turns, and seconds of all of it."""
    longest, slices = max(turns, key=lambda turn: turn.wall), [turn for turn in turns if turn.call == "advance"]
    return {
        "slice_ms_max": round(1_000 * max(turn.wall for turn in slices), 1),
        "slice_cpu_ms_max": round(1_000 * max(turn.cpu for turn in slices), 1),
        "slices": len(slices),
        "turn_ms_max": round(1_000 * longest.wall, 1),
        "turn_ms_p99": round(1_000 * float(np.percentile([turn.wall for turn in turns], 99)), 1),
        "longest": longest.call,
        "turns": len(turns),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "events": len(waited),
        "wait_ms": spread(waited),
    }


def spread(waited: Sequence[Millis]) -> dict[str, float]:
    """Percentiles, if there are any."""
    return {f"p{part}": round(float(np.percentile(waited, part)), 1) for part in (50, 95, 99, 100) if waited}
