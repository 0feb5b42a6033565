"""A storm: very many relationships are due at once, and events go on coming. How long the processor keeps its turn."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Mapping, Sequence
from time import perf_counter, process_time
from typing import Any, TypeVar

import msgspec
import numpy as np

from bench.evaluation_story import START, key_of, record
from bench.full_path import clock_from, scoring
from bench.throughput_store import LocalStore, Server, Templates
from shared import wire
from shared.domain.contract.events import DAY, HOUR, Millis
from shared.domain.relationship.flags import UpdateBatch
from shared.settings import Settings
from shared.storage.store import Incarnation
from shared.stream.memory import MemoryLog
from shared.stream.ports import Message, Processor
from shared.stream.topics import INCARNATION_HEADER, INTERACTIONS, UPDATES
from shared.telemetry import Metrics

T = TypeVar("T")
LOG = "bench"
DUE: Millis = START * DAY + 6 * HOUR  # when all with any use are looked at again
RATE = 1_000  # events/s that come meanwhile
ACTIVE = 1_000  # relationships that they are of, all of them due as well
FETCH = 4_000  # records at most, as of one megabyte
FLUSH_SECONDS = 0.2  # from one flush to the next
SETTINGS = Settings(memory_mb=1024)


class Turn(msgspec.Struct, frozen=True):
    """One call of the processor: which one, seconds by the clock and of CPU."""

    call: str
    wall: float
    cpu: float


class Traffic:
    """Events at RATE from the beginning on, appended to the log when they can be."""

    def __init__(self, log: MemoryLog, active: int) -> None:
        self._log = log
        self._active = active
        self._began = perf_counter()
        self._count = 0
        self.offered: list[tuple[int, int, Millis]] = []  # offset, number of the relationship, when it came

    async def offer(self) -> None:
        """Append what has come by now."""
        due = int((perf_counter() - self._began) * RATE)
        header = ((INCARNATION_HEADER, LOG.encode()),)
        messages, first = [], self._log.end(INTERACTIONS, 0)
        for serial in range(self._count, due):
            number, at = serial * 7_919 % self._active, DUE + 1 + serial * 1_000 // RATE
            data = {"feature": "reports", "person": f"user{serial % 6}@acct.example", "quantity": 1}
            made = record(number, (at, "usage.feature_used", data), serial)
            messages.append(Message(made.value, made.key, header, at))
            self.offered.append((first + len(messages) - 1, number, at))
        self._count = due
        if messages:
            await self._log.append(INTERACTIONS, 0, messages)


class Driver:
    """Calls a processor as a member of the group does, one call at a time, and notes how long each took.

    While it is behind, it is asked for a slice of what is left to do between two batches.
    """

    def __init__(self, processor: Processor, log: MemoryLog) -> None:
        self._processor = processor
        self._log = log
        self._position = 0
        self._flushed = 0.0
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
            busy = True
        if self._processor.behind:
            await self._turn("advance", self._processor.advance())
            busy = True
        if full or self._flushing or perf_counter() - self._flushed >= FLUSH_SECONDS:
            self._note(await self._turn("flush", self._processor.flush()))
        elif not busy:
            await asyncio.sleep(0.001)

    def _note(self, stored: Mapping[int, int] | None) -> None:
        self._flushing = stored is None
        if stored is not None:
            self._flushed = perf_counter()
            self.stored = stored.get(0, self.stored)

    async def _turn(self, call: str, doing: Awaitable[T]) -> T:
        wall, cpu = perf_counter(), process_time()
        found = await doing
        self.turns.append(Turn(call, perf_counter() - wall, process_time() - cpu))
        return found


async def storm(made: Templates, size: int) -> dict[str, Any]:
    """The figures of one storm."""
    server, log = Server(made), MemoryLog()
    server.expect(0, map(key_of, range(size)), DUE)
    store = LocalStore(server)
    for topic in (INTERACTIONS, UPDATES):
        await store.set_incarnation(Incarnation(topic, LOG, 1))
    processor = scoring(store, log.publisher(), Metrics("scoring"), clock_from(DUE), 1, settings=SETTINGS)
    driver = Driver(processor, log)
    await processor.assigned([0])
    traffic, began, cpu = Traffic(log, min(size, ACTIVE)), perf_counter(), process_time()
    while server.earliest_due([0])[0] <= DUE:
        await traffic.offer()
        await driver.step()
    took = perf_counter() - began, process_time() - cpu
    turns = list(driver.turns)
    await traffic.offer()  # what came during the last turn
    while traffic.offered and driver.stored <= traffic.offered[-1][0]:
        await driver.step()
    return figures(turns, *took, waits(traffic.offered, told(log)))


# --- figures ---------------------------------------------------------------------------------------------------------


def told(log: MemoryLog) -> dict[str, list[tuple[int, Millis]]]:
    """By relationship: what has been stored and told, as the offset it reaches and the moment, in order."""
    found: defaultdict[str, list[tuple[int, Millis]]] = defaultdict(list)
    for published in log.records(UPDATES, 0):
        batch = wire.decode(published.value, UpdateBatch)
        for update in batch.updates:
            found[f"{update.tenant}/{update.relationship}"].append((update.cause.offset, batch.stored_at))
    return found


def waits(
    offered: Sequence[tuple[int, int, Millis]], found: Mapping[str, Sequence[tuple[int, Millis]]]
) -> list[Millis]:
    """For each event, ms from when it came until its relationship was stored with it."""
    reached = {number: list(found.get(key_of(number), ()))[::-1] for number in {number for _, number, _ in offered}}
    waited = []
    for offset, number, came in offered:
        left = reached[number]
        while left and left[-1][0] < offset:
            left.pop()
        if not left:
            raise RuntimeError(f"the event at offset {offset} was never stored")
        waited.append(left[-1][1] - came)
    return waited


def figures(turns: Sequence[Turn], seconds: float, cpu: float, waited: Sequence[Millis]) -> dict[str, Any]:
    """What the JSON says of a storm: milliseconds, and seconds of all of it."""
    longest = max(turns, key=lambda turn: turn.wall)
    return {
        "slice_ms_max": round(1_000 * longest.wall, 1),
        "slice_ms_p99": round(1_000 * float(np.percentile([turn.wall for turn in turns], 99)), 1),
        "slice_cpu_ms_max": round(1_000 * max(turn.cpu for turn in turns), 1),
        "longest": longest.call,
        "turns": len(turns),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "events": len(waited),
        "wait_ms": {f"p{part}": round(float(np.percentile(waited, part)), 1) for part in (50, 95, 99, 100) if waited},
    }
