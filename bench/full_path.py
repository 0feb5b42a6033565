"""Rows `rapport_memory` and `rapport_mongodb`: the full scoring path as `rapport scoring` builds it, on a written log.

`python -m bench.full_path LOG OUT STATES [--store memory|mongodb://…] [--profile FILE]`: scores the whole log, until
the broker has the commit of its end. This file alone knows how a worker is put together and where its results are.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic

import uvloop

from bench.evaluations import Evaluations
from bench.peers.fold import DAYS, SCALE, Cell, State, write_states
from bench.peers.measure import Log, Stopwatch
from bench.throughput_log import until_committed
from services.scoring.__main__ import terms
from services.scoring.garbage import Garbage
from services.scoring.processor import Scoring
from shared.clock import new_id
from shared.domain.columns.months import cells_of
from shared.domain.contract.days import day_of, month_of
from shared.domain.contract.events import Millis
from shared.domain.relationship.state import RelationshipState
from shared.domain.scores.formulas import explained
from shared.settings import Settings
from shared.storage.memory import MemoryStore
from shared.storage.mongo import MongoStore
from shared.storage.store import Incarnation, StateStore, Store
from shared.stream.member import KafkaMember
from shared.stream.ports import Batch, Message, Processor, Publisher
from shared.stream.publisher import KafkaPublisher
from shared.stream.topics import INTERACTIONS, UPDATES
from shared.telemetry import Metrics

MEMORY = "memory"
HALF = "half"


class Around:
    """A processor that hands everything on to another one."""

    def __init__(self, processor: Processor) -> None:
        self._processor = processor

    async def assigned(self, partitions: Sequence[int]) -> None:
        await self._processor.assigned(partitions)

    async def apply(self, batch: Batch) -> int:
        return await self._processor.apply(batch)

    def full(self) -> bool:
        return self._processor.full()

    @property
    def behind(self) -> bool:
        return self._processor.behind

    async def advance(self) -> None:
        await self._processor.advance()

    async def flush(self) -> Mapping[int, int] | None:
        return await self._processor.flush()

    async def revoked(self, partitions: Sequence[int]) -> None:
        await self._processor.revoked(partitions)


class Watched(Around):
    """A processor that starts the watch, and tells when all of its partitions' log is stored.

    The watch starts when it gets its partitions; where the log has halves, with the first record after them, once they
    are stored.
    """

    def __init__(self, processor: Processor, log: Log, watch: Stopwatch, heard: Heard) -> None:
        super().__init__(processor)
        self._log = log
        self._watch = watch
        self._heard = heard
        self._half = False
        self._stored: dict[int, int] = {}
        self.mine: dict[int, int] = {}  # the ends of our partitions
        self.measured = 0  # events that were left when the watch started
        self.stored = asyncio.Event()

    async def assigned(self, partitions: Sequence[int]) -> None:
        if self._half:
            raise RuntimeError("the group was rebalanced after the half: these figures would not compare")
        await super().assigned(partitions)
        self.mine = {number: self._log.ends[number] for number in partitions}
        self._heard.partitions(partitions)
        if partitions and not self._log.halves:
            self._begin()

    async def apply(self, batch: Batch) -> int:
        if self._half and not self._watch.running:
            self._begin()
        return await super().apply(batch)

    async def flush(self) -> Mapping[int, int] | None:
        stored = await super().flush()
        if stored is None:
            return None
        self._stored |= stored  # a partition that comes again with nothing new is not in it
        if not self._half and beyond(
            self._stored, {n: self._log.halves[n] for n in self.mine if n in self._log.halves}
        ):
            self._half = True
            self._heard.half()
        if beyond(self._stored, self.mine):
            self.stored.set()
        return stored

    def _begin(self) -> None:
        self.measured = sum(self._log.counts[number] for number in self.mine)
        self._watch.begin()
        self._heard.begun()


def beyond(stored: Mapping[int, int], ends: Mapping[int, int]) -> bool:
    """Whether all there is up to these ends is stored."""
    return bool(ends) and all(stored.get(number, 0) >= end for number, end in ends.items())


class Heard:
    """What is told outside on the way: partitions and the half in the file `ready`; what starts with the watch."""

    def __init__(
        self,
        ready: Path | None = None,
        profile: cProfile.Profile | None = None,
        evaluations: Evaluations | None = None,
    ) -> None:
        self._ready = ready
        self._profile = profile
        self._evaluations = evaluations

    def partitions(self, partitions: Sequence[int]) -> None:
        if self._ready:
            self._ready.write_text(" ".join(map(str, partitions)))

    def half(self) -> None:
        if self._ready:
            self._ready.write_text(HALF)

    def begun(self) -> None:
        if self._evaluations:
            self._evaluations.begin()
        if self._profile:
            self._profile.enable()


class Written:
    """A publisher that leaves the log as it was written: other rows read it too.

    So what is due is evaluated when its next event comes, and not by a clock record.
    """

    def __init__(self, publisher: Publisher, topic: str) -> None:
        self._publisher = publisher
        self._topic = topic

    async def publish(self, topic: str, partition: int, messages: Sequence[Message]) -> int:
        return 0 if topic == self._topic else await self._publisher.publish(topic, partition, messages)

    async def close(self) -> None:
        await self._publisher.close()


def scoring(
    store: StateStore,
    publisher: Publisher,
    metrics: Metrics,
    clock: Callable[[], Millis],
    partitions: int,
    garbage: Garbage | None = None,
    settings: Settings | None = None,
) -> Scoring:
    """The processor as `rapport scoring` makes it, where a process of its own is given `garbage`."""
    settings = settings or Settings()
    return Scoring(
        store,
        publisher,
        terms(settings),
        metrics,
        clock,
        partitions=partitions,
        writer=new_id(),
        memory=settings.memory_mb << 20,
        garbage=garbage,
    )


async def score_log(log: Log, store: StateStore, watch: Stopwatch, heard: Heard, group: str) -> int:
    """Score what is ours of the log as a member of the group; how many events the watch has seen."""
    metrics, partitions = Metrics("scoring"), len(log.ends)
    for topic in (INTERACTIONS, UPDATES):
        await store.set_incarnation(Incarnation(topic, log.incarnation, partitions))
    publisher = Written(KafkaPublisher(log.bootstrap), INTERACTIONS)
    processor = scoring(store, publisher, metrics, clock_from(log.last), partitions, Garbage())
    watched = Watched(processor, log, watch, heard)
    mine = member(log.bootstrap, log.topic, watched, metrics, group)
    running = asyncio.create_task(mine.run())
    stored = asyncio.create_task(watched.stored.wait())
    await asyncio.wait({running, stored}, return_when=asyncio.FIRST_COMPLETED)
    if not stored.done():
        await running  # raises what went wrong
    await until_committed(log.bootstrap, group, watched.mine)
    watch.end()
    await mine.stop()
    await running
    await publisher.close()
    return watched.measured


def member(bootstrap: str, topic: str, processor: Processor, metrics: Metrics, group: str) -> KafkaMember:
    """A member of a group as a service makes it."""
    settings = Settings()
    return KafkaMember(
        bootstrap=bootstrap,
        group=group,
        topic=topic,
        processor=processor,
        flush_min_ms=settings.flush_min_ms,
        flush_max_ms=settings.flush_max_ms,
        session_timeout_ms=settings.session_timeout_ms,
        metrics=metrics,
    )


def clock_from(last: Millis) -> Callable[[], Millis]:
    """A clock that goes on from the receipt of the log's last event."""
    began = monotonic()
    return lambda: last + round((monotonic() - began) * 1000)


def engagement_of(state: RelationshipState) -> int | None:
    """The stated score of a stored state, in ten-thousandths."""
    value = explained(state).rv.factors["engagement"].value
    return None if value is None else round(value * SCALE)


async def states(store: Store, keys: Sequence[str], last: int) -> dict[str, State]:
    """What the store holds of these relationships (`tenant/relationship`) in the form that all rows are compared in."""
    states = await store.states(keys)
    cells = await counters(store, list(states), last)
    return {key: (engagement_of(state), cells[key]) for key, state in states.items()}


async def flags(store: Store, keys: Sequence[str]) -> int:
    """How many flags have been raised of these relationships, as far as their states remember."""
    found = (await store.states(keys)).values()
    return sum(change.raised for state in found for change in state.changes)


async def counters(store: Store, keys: Sequence[str], last: int) -> dict[str, dict[Cell, float]]:
    """The stored counters of these relationships in the DAYS up to `last`."""
    names = sorted({month_of(day_of(last) - back) for back in range(DAYS)})
    cells: dict[str, dict[Cell, float]] = {key: {} for key in keys}
    for month in (await store.months_by_id([f"{key}/{name}" for key in keys for name in names])).values():
        mine = cells[f"{month.tenant}/{month.relationship}"]
        mine.update({(cell.metric, cell.person, cell.day): cell.count for cell in cells_of(month)})
    return cells


def open_store(where: str) -> Store:
    """The store in memory, or the one at a MongoDB address."""
    return MemoryStore() if where == MEMORY else MongoStore(where, "bench")


async def run(asked: argparse.Namespace) -> None:
    """One row of the throughput bench."""
    log, watch, store = Log(asked.log), Stopwatch(), open_store(asked.store)
    await store.prepare()
    profile = cProfile.Profile() if asked.profile else None
    group, evaluations = f"rapport-scoring-{os.getpid()}", Evaluations()
    events = await score_log(log, store, watch, Heard(profile=profile, evaluations=evaluations), group)
    if profile:
        profile.disable()
        profile.dump_stats(asked.profile)
    keys = asked.keys.read_text().split()
    digest = write_states(asked.states, await states(store, keys, log.last))
    watch.write(asked.out, events, digest, evaluations=evaluations.count, flags=await flags(store, keys))
    await store.close()


def main() -> None:
    """The command line."""
    arguments = argparse.ArgumentParser(prog="python -m bench.full_path", description=__doc__.split("\n\n")[0])
    arguments.add_argument("log", type=Path, help="description of the log, as the throughput bench writes it")
    arguments.add_argument("out", type=Path, help="figures go there")
    arguments.add_argument("states", type=Path, help="final states go there")
    arguments.add_argument("--keys", type=Path, required=True, help="keys of the relationships to read back")
    arguments.add_argument("--store", default=MEMORY, help="memory or a MongoDB address")
    arguments.add_argument("--profile", type=Path, help="write the statistics of cProfile there")
    uvloop.run(run(arguments.parse_args()))


if __name__ == "__main__":
    main()
