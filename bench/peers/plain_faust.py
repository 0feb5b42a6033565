"""Rows `faust_memory` and `faust_mongodb`: a plain Faust agent, event by event, with the shared fold in dicts.

`python -m bench.peers.plain_faust LOG OUT STATES --store memory|mongodb://…`. Every FLUSH_SECONDS it writes what was
touched to the store that Rapport's rows write to: the state (with the score) and the days of each month's counters that
have changed, under a condition on their revision. It writes neither event ids nor timeline entries, and publishes
nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import faust
import uvloop

from bench.full_path import open_store
from bench.peers.fold import DAY, FLUSH_SECONDS, Relationship, decode, key_of, write_states
from bench.peers.measure import Log, Stopwatch
from bench.throughput_log import until_committed
from shared.domain.contract.days import day_name
from shared.storage.store import Store, Write

WRITER = "faust"


class Kept(Relationship):
    """A relationship with the place of its last event, and the days touched since it was stored."""

    __slots__ = ("days", "offset", "partition")

    def __init__(self) -> None:
        super().__init__()
        self.days: set[int] = set()
        self.partition = self.offset = -1


class Agent:
    """State of the agent, and its writes."""

    def __init__(self, log: Log, store: Store, watch: Stopwatch) -> None:
        self._log = log
        self._store = store
        self._watch = watch
        self._touched: dict[str, Kept] = {}
        self._revisions: dict[str, int] = {}
        self._due = 0.0
        self.kept: dict[str, Kept] = {}
        self.seen = 0
        self.finished = asyncio.Event()

    async def run(self, stream: Any) -> None:
        """Fold event by event; flush when it is time."""
        async for event in stream.events():
            if not self.seen:
                self._watch.begin()
                self._due = monotonic() + FLUSH_SECONDS
            self._fold(event)
            self.seen += 1
            if monotonic() >= self._due or self.seen == self._log.events:
                await self.flush()
                self._due = monotonic() + FLUSH_SECONDS
            if self.seen == self._log.events:
                self.finished.set()

    def _fold(self, event: Any) -> None:
        found = decode(event.value)
        key = key_of(found)
        one = self.kept.get(key)
        if one is None:
            one = self.kept[key] = Kept()
        if one.add(found, round(event.message.timestamp * 1000)):
            one.partition, one.offset = event.message.partition, event.message.offset
            one.days.add(found.time // DAY)
            self._touched[key] = one

    async def flush(self) -> None:
        """Store what was touched: states and counters."""
        touched, self._touched = self._touched, {}
        states = [self._head(key, one) for key, one in touched.items()]
        months = [write for key, one in touched.items() for write in self._months(key, one)]
        for writes in (states, months):
            if lost := await self._store.write(writes):
                raise RuntimeError(f"{len(lost)} documents were changed by another writer")
            for write in writes:
                self._revisions[write.id] = write.base + 1
        for one in touched.values():
            one.days = set()

    def _head(self, key: str, one: Kept) -> Write:
        return self._write("relationships", key, key, one, {"score": one.score(), "sums": one.sums, "day": one.day})

    def _months(self, key: str, one: Kept) -> Iterator[Write]:
        """One write a month, of the days that have changed: metric, person and count of each counter."""
        days: dict[int, list[str | float]] = {day: [] for day in one.days}
        for (metric, person, day), amount in one.cells.items():
            if day in days:
                days[day] += (metric, person, amount)
        months: dict[str, dict[str, Any]] = {}
        for day, flat in days.items():
            name = day_name(day)
            months.setdefault(name[:7], {})[f"days.d{int(name[8:])}"] = flat
        for month, fields in months.items():
            yield self._write("months", f"{key}/{month}", key, one, {"month": month, **fields})

    def _write(self, collection: str, id: str, key: str, one: Kept, fields: dict[str, Any]) -> Write:
        return Write(collection, id, self._revisions.get(id, 0), self._fenced(key, one, fields))

    def _fenced(self, key: str, one: Kept, fields: dict[str, Any]) -> dict[str, Any]:
        tenant, relationship = key.split("/", 1)
        names = {"tenant": tenant, "relationship": relationship, "incarnation": self._log.incarnation}
        return fields | names | {"partition": one.partition, "offset": one.offset, "writer": WRITER}


async def run(asked: argparse.Namespace) -> None:
    log, watch, store = Log(asked.log), Stopwatch(), open_store(asked.store)
    await store.prepare()
    agent = Agent(log, store, watch)
    with tempfile.TemporaryDirectory(prefix="rapport-bench-faust-") as directory:
        app = faust.App(
            f"plain-faust-{os.getpid()}",
            broker=f"kafka://{log.bootstrap}",
            datadir=directory,
            autodiscover=False,
            web_enabled=False,
            topic_disable_leader=True,
            consumer_auto_offset_reset="earliest",
            value_serializer="raw",
            key_serializer="raw",
        )

        async def fold(stream: AsyncIterator[Any]) -> None:
            await agent.run(stream)

        app.agent(app.topic(log.topic), name="fold")(fold)
        await app.start()
        await _finished(app, agent)
        committed = asyncio.create_task(until_committed(log.bootstrap, app.conf.id, log.ends))
        while not committed.done():
            await app.consumer.commit()
            await asyncio.wait({committed}, timeout=0.05)
        await committed
        watch.end()
        await app.stop()
    states = {key: (one.score(), one.cells) for key, one in agent.kept.items()}
    watch.write(asked.out, agent.seen, write_states(asked.states, states))
    await store.close()


async def _finished(app: faust.App, agent: Agent) -> None:
    finished, stopped = (asyncio.create_task(one) for one in (agent.finished.wait(), app.wait_until_stopped()))
    await asyncio.wait({finished, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not finished.done():
        raise RuntimeError("Faust stopped before the end of the log") from app.crash_reason


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m bench.peers.plain_faust", description=__doc__.split("\n\n")[0])
    arguments.add_argument("log", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("states", type=Path)
    arguments.add_argument("--store", required=True)
    uvloop.run(run(arguments.parse_args()))


if __name__ == "__main__":
    main()
