"""Row `rapport_json`: JSON in the inbox, through ingest and scoring as their services build them, to stored state.

`python -m bench.json_path LOG OUT STATES --keys FILE`: both are members of their groups, in one process, whose CPU time
is that of both. Ingest takes each event as received at the moment that the log says, so that full hours pass, and
writes its frames to a topic of this run.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import uvloop

from bench.evaluations import Evaluations
from bench.full_path import Around, Written, beyond, clock_from, flags, member, scoring, states
from bench.peers.fold import write_states
from bench.peers.measure import Log, Stopwatch
from bench.throughput_log import BASE, KEY, TENANT, until_committed
from services.ingest.access import Access
from services.ingest.inbox import Inbox
from services.ingest.intake import Intake
from services.ingest.logidentity import LogIdentity
from services.ingest.outbound import Outbound
from services.scoring.garbage import Garbage
from shared.clock import new_id
from shared.domain.contract.events import Millis
from shared.domain.keys import WRITE, hash_secret, parse_key
from shared.storage.memory import MemoryStore
from shared.storage.store import ApiKey, Incarnation
from shared.stream.admin import create_topics
from shared.stream.ports import Batch, Message, Processor, Publisher
from shared.stream.publisher import KafkaPublisher
from shared.stream.topics import INTERACTIONS, UPDATES
from shared.telemetry import Metrics


class Made:
    """A publisher that writes the log to a topic of its own."""

    def __init__(self, publisher: Publisher, topic: str) -> None:
        self._publisher = publisher
        self._topic = topic
        self.ends: dict[int, int] = {}

    async def publish(self, topic: str, partition: int, messages: Sequence[Message]) -> int:
        if topic != INTERACTIONS:
            return await self._publisher.publish(topic, partition, messages)
        first = await self._publisher.publish(self._topic, partition, messages)
        self.ends[partition] = max(self.ends.get(partition, 0), first + len(messages))
        return first

    async def close(self) -> None:
        await self._publisher.close()


class Receipts:
    """The moment at which ingest takes events: that of the latest record of the inbox it has come to."""

    def __init__(self) -> None:
        self._at: Millis = BASE

    def now(self) -> Millis:
        return self._at

    def reach(self, at: Millis) -> None:
        self._at = max(self._at, at)


class Taking(Around):
    """The inbox's processor. The watch starts when it gets its partitions."""

    def __init__(self, inbox: Inbox, receipts: Receipts, watch: Stopwatch, evaluations: Evaluations) -> None:
        super().__init__(inbox)
        self._receipts = receipts
        self._watch = watch
        self._evaluations = evaluations
        self.taken = 0

    async def assigned(self, partitions: Sequence[int]) -> None:
        await super().assigned(partitions)
        if partitions and not self._watch.running:
            self._evaluations.begin()
            self._watch.begin()

    async def apply(self, batch: Batch) -> int:
        self._receipts.reach(batch.records[-1].timestamp)
        events = await super().apply(batch)
        self.taken += events
        return events


class Scored(Around):
    """Scoring's processor, which tells how many events it has been given, and up to where all is stored."""

    def __init__(self, processor: Processor) -> None:
        super().__init__(processor)
        self.events = 0
        self.stored: dict[int, int] = {}

    async def apply(self, batch: Batch) -> int:
        events = await super().apply(batch)
        self.events += events
        return events

    async def flush(self) -> Mapping[int, int] | None:
        stored = await super().flush()
        self.stored |= stored or {}
        return stored


async def take_and_score(log: Log, store: MemoryStore, watch: Stopwatch, evaluations: Evaluations) -> None:
    """Until every event is stored, and the broker has the commits of the ends of both logs."""
    partitions, made, run = len(log.ends), f"rapport.interactions.{new_id()}", new_id()
    await create_topics(log.bootstrap, {made: partitions})
    for topic in (INTERACTIONS, UPDATES):
        await store.set_incarnation(Incarnation(topic, log.incarnation, partitions))
    metrics, publisher = Metrics("bench"), KafkaPublisher(log.bootstrap)
    written = Made(publisher, made)
    receipts = Receipts()
    taking = Taking(await inbox(store, metrics, written, receipts.now, partitions), receipts, watch, evaluations)
    processor = scoring(store, Written(publisher, INTERACTIONS), metrics, clock_from(log.last), partitions, Garbage())
    scored = Scored(processor)
    ingest_group, scoring_group = f"rapport-ingest-{run}", f"rapport-scoring-{run}"
    members = [
        member(log.bootstrap, log.topic, taking, metrics, ingest_group),
        member(log.bootstrap, made, scored, metrics, scoring_group),
    ]
    running = [asyncio.create_task(one.run()) for one in members]
    while not (taking.taken >= log.events and scored.events >= log.events and beyond(scored.stored, written.ends)):
        ended, _ = await asyncio.wait(running, timeout=0.02, return_when=asyncio.FIRST_COMPLETED)
        for failed in ended:
            failed.result()
    await until_committed(log.bootstrap, ingest_group, log.ends)
    await until_committed(log.bootstrap, scoring_group, written.ends)
    watch.end()
    for mine in members:
        await mine.stop()
    await asyncio.gather(*running)
    await publisher.close()


async def inbox(
    store: MemoryStore, metrics: Metrics, publisher: Publisher, now: Callable[[], Millis], partitions: int
) -> Inbox:
    """Ingest's side, with the write key that the records carry."""
    parsed = parse_key(KEY)
    assert parsed is not None
    await store.add_key(ApiKey(parsed[1], TENANT, WRITE, hash_secret(parsed[2]), "bench", 0))
    identity = LogIdentity(store, partitions, metrics, _there)
    await identity.refresh()
    intake = Intake(Outbound(publisher), identity, metrics, now, partitions=partitions)
    return Inbox(intake, Access(store, now))


async def _there() -> None:
    """The topics are there."""


async def run(asked: argparse.Namespace) -> None:
    """One row of the throughput bench."""
    log, watch, store, evaluations = Log(asked.log), Stopwatch(), MemoryStore(), Evaluations()
    await take_and_score(log, store, watch, evaluations)
    keys = asked.keys.read_text().split()
    digest = write_states(asked.states, await states(store, keys, log.last))
    watch.write(asked.out, log.events, digest, evaluations=evaluations.count, flags=await flags(store, keys))
    await store.close()


def main() -> None:
    """The command line."""
    arguments = argparse.ArgumentParser(prog="python -m bench.json_path", description=__doc__.split("\n\n")[0])
    arguments.add_argument("log", type=Path, help="description of the log, as the throughput bench writes it")
    arguments.add_argument("out", type=Path, help="figures go there")
    arguments.add_argument("states", type=Path, help="final states go there")
    arguments.add_argument("--keys", type=Path, required=True, help="keys of the relationships to read back")
    uvloop.run(run(arguments.parse_args()))


if __name__ == "__main__":
    main()
