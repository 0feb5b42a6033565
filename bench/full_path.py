"""Rows `rapport_memory` and `rapport_mongodb`: the full scoring path as `rapport scoring` builds it, on a written log.

`python -m bench.full_path LOG OUT STATES [--store memory|mongodb://…] [--profile FILE]`: scores the whole log, until
the broker has the commit of its end. This file alone knows how a worker is put together and where its results are.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic

import uvloop

from bench.peers.fold import DAYS, SCALE, Cell, State, write_states
from bench.peers.measure import Log, Stopwatch
from bench.throughput_log import until_committed
from services.scoring.__main__ import terms
from services.scoring.processor import Scoring
from shared.clock import new_id
from shared.domain.relationship import Head
from shared.domain.usage import cells_of, day_of, month_of
from shared.settings import Settings
from shared.storage.memory import MemoryStore
from shared.storage.mongo import MongoStore
from shared.storage.store import Incarnation, Store
from shared.stream.member import KafkaMember
from shared.stream.ports import Batch, Processor
from shared.stream.publisher import KafkaPublisher
from shared.stream.topics import INTERACTIONS, UPDATES
from shared.telemetry import Metrics

MEMORY = "memory"


class Watched:
    """A processor that starts the watch when it gets its partitions, and tells when the whole log is stored."""

    def __init__(
        self, processor: Processor, ends: Mapping[int, int], watch: Stopwatch, profile: cProfile.Profile | None
    ):
        self._processor = processor
        self._ends = ends
        self._watch = watch
        self._profile = profile
        self.stored = asyncio.Event()

    async def assigned(self, partitions: Sequence[int]) -> None:
        await self._processor.assigned(partitions)
        if partitions:
            self._watch.begin()
            if self._profile:
                self._profile.enable()

    async def apply(self, batch: Batch) -> None:
        await self._processor.apply(batch)

    async def flush(self) -> Mapping[int, int]:
        stored = await self._processor.flush()
        if all(stored.get(number, 0) >= end for number, end in self._ends.items()):
            self.stored.set()
        return stored

    async def revoked(self, partitions: Sequence[int]) -> None:
        await self._processor.revoked(partitions)


def scoring(store: Store, publisher: KafkaPublisher, metrics: Metrics, last: int, partitions: int) -> Scoring:
    """The processor as `rapport scoring` makes it. Its clock goes on from the receipt of the log's last event."""
    settings = Settings()
    began = monotonic()
    return Scoring(
        store,
        publisher,
        terms(settings),
        metrics,
        lambda: last + round((monotonic() - began) * 1000),
        partitions=partitions,
        writer=new_id(),
        cache=settings.cache_relationships,
    )


async def score_log(log: Log, store: Store, watch: Stopwatch, profile: cProfile.Profile | None = None) -> None:
    """Score the whole log as one member of a new group."""
    group = f"rapport-scoring-{os.getpid()}"
    settings, metrics = Settings(), Metrics("scoring")
    partitions = len(log.ends)
    await store.prepare()
    await store.set_incarnation(Incarnation(INTERACTIONS, log.incarnation, partitions))
    await store.set_incarnation(Incarnation(UPDATES, log.incarnation, partitions))
    publisher = KafkaPublisher(log.bootstrap)
    watched = Watched(scoring(store, publisher, metrics, log.last, partitions), log.ends, watch, profile)
    member = KafkaMember(
        bootstrap=log.bootstrap,
        group=group,
        topic=log.topic,
        processor=watched,
        flush_min_ms=settings.flush_min_ms,
        flush_max_ms=settings.flush_max_ms,
        session_timeout_ms=settings.session_timeout_ms,
        metrics=metrics,
    )
    gc.freeze()
    running = asyncio.create_task(member.run())
    stored = asyncio.create_task(watched.stored.wait())
    await asyncio.wait({running, stored}, return_when=asyncio.FIRST_COMPLETED)
    if not stored.done():
        await running  # raises what went wrong
    await until_committed(log.bootstrap, group, log.ends)
    watch.end()
    if profile:
        profile.disable()
    await member.stop()
    await running
    await publisher.close()


def engagement_of(head: Head) -> int | None:
    """The stated score of a stored head, in ten-thousandths."""
    value = head.scores.rv.factors["engagement"].value
    return None if value is None else round(value * SCALE)


async def states(store: Store, keys: Sequence[str], last: int) -> dict[str, State]:
    """What the store holds of these relationships (`tenant/relationship`) in the form that all rows are compared in."""
    heads = await store.heads(keys)
    cells = await counters(store, list(heads), last)
    return {key: (engagement_of(head), cells[key]) for key, head in heads.items()}


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
    log, watch = Log(asked.log), Stopwatch()
    store = open_store(asked.store)
    profile = cProfile.Profile() if asked.profile else None
    await score_log(log, store, watch, profile)
    if profile:
        profile.dump_stats(asked.profile)
    keys = asked.keys.read_text().split()
    digest = write_states(asked.states, await states(store, keys, log.last))
    watch.write(asked.out, log.events, digest)
    await store.close()


def main() -> None:
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
