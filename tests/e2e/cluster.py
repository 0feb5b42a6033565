"""Ingest, scoring workers of one consumer group and alerts on real Kafka and NX-27017, as processes of a test's own.

Servers stay away until they are started again; services are started again whenever they end, as a supervisor does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from shared.clock import new_id, now_ms
from shared.domain.errors import Unavailable
from shared.domain.keys import WRITE
from shared.embedded import mongo, real_kafka
from shared.embedded.keeper import Keeper, Patience
from shared.embedded.keyring import TENANT, as_stored, new_key
from shared.embedded.ports import LOOPBACK, claim
from shared.embedded.process import Child, Launch, environment
from shared.embedded.stack import answers
from shared.settings import Settings
from shared.storage.mongo import MongoStore
from shared.topology import establish
from tests.e2e.failing_worker import FUSE

PARTITIONS = 6
SESSION_MS = 6_000  # Apache Kafka refuses less
GRAIN_SECONDS = 5
WITHIN = 240.0  # seconds for anything to happen on a busy machine
PATIENCE = Patience(first_pause=0.2, longest_pause=2.0, healthy_after=5.0, ready_within=WITHIN)
DATABASE = "rapport"


async def until(condition: Callable[[], Any], what: str, within: float = WITHIN) -> None:
    """Return when the condition holds; it may be a coroutine function. A server that does not answer: not yet."""
    reason = ""
    try:
        async with asyncio.timeout(within):
            while True:
                try:
                    answer = condition()
                    if await answer if asyncio.iscoroutine(answer) else answer:
                        return
                except (KafkaError, OSError, Unavailable) as error:
                    reason = f" ({type(error).__name__}: {error})"
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"not within {within:g} s: {what}{reason}") from None


class Journal:
    """What all processes have logged, in a file and by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("w", buffering=1)
        self._began = monotonic()
        self._lines: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self._lines.append((name, line))
        self._file.write(f"{monotonic() - self._began:7.2f} {name:10} {line}\n")

    def say(self, text: str) -> None:
        self("keeper", text)

    def count(self, text: str, name: str = "", since: int = 0) -> int:
        """Lines that hold this text."""
        return sum(text in line and name in ("", who) for who, line in self._lines[since:])

    def __len__(self) -> int:
        return len(self._lines)

    def close(self) -> None:
        self._file.close()


class Server:
    """Kafka or the store: started again on the same port and the same data."""

    def __init__(self, launch: Launch, journal: Journal) -> None:
        self._launch = launch
        self._journal = journal
        self._child: Child | None = None

    async def start(self) -> None:
        self._child = await Child.start(self._launch, self._journal)
        await self._child.ready(WITHIN)

    async def stop(self, number: signal.Signals | None = None) -> None:
        """In order, or by this signal."""
        assert self._child is not None
        if number is not None:
            self._child.process.send_signal(number)
        await self._child.stop()


class Service:
    """A service, kept running from `start` to `stop`."""

    def __init__(self, launch: Launch, journal: Journal) -> None:
        self.keeper = Keeper(launch, journal, journal.say, PATIENCE)
        self._task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        if self._task is not None and self._task.done():
            self._task.result()
        return self.keeper.ready.is_set()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.keeper.pid, number)

    def start(self) -> None:
        self._task = asyncio.create_task(self.keeper.run(), name=self.keeper.launch.name)

    async def stop(self) -> None:
        """In order: it stores, commits and leaves its group."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None


class Cluster:
    """What runs, where it answers, and what it has come to."""

    def __init__(self, here: Path, workers: int, instances: bool) -> None:
        self.workers = [f"scoring-{number}" for number in range(1, workers + 1)]
        services = ("ingest", "alerts", *self.workers)
        ports = claim(dict.fromkeys(("kafka", "controller", "store", *services), 0))  # no two are the same
        self.here = here
        self.journal = Journal(here / "log")
        self.listeners: list[Callable[[str], None]] = []
        self.fuse = here / "fuse"
        self.write_key = new_key(WRITE)
        self.bootstrap = f"{LOOPBACK}:{ports['kafka']}"
        self.mongo = f"mongodb://{LOOPBACK}:{ports['store']}"
        self.ingest = f"http://{LOOPBACK}:{ports['ingest']}"
        (here / "kafka").mkdir()
        self.kafka = Server(
            real_kafka.launch(ports["kafka"], here / "kafka", controller=ports["controller"], brief=True), self.journal
        )
        self.server = Server(mongo.launch(ports["store"], here / "store"), self.journal)
        self.store = MongoStore(self.mongo, DATABASE)
        self.services = {name: Service(self._launch(name, ports[name], instances), self.journal) for name in services}

    def settings(self) -> Settings:
        """Those of all services."""
        return Settings(
            kafka=self.bootstrap,
            mongo=self.mongo,
            database=DATABASE,
            partitions=PARTITIONS,
            evaluation_seconds=GRAIN_SECONDS,
            session_timeout_ms=SESSION_MS,
        )

    def environment(self, **extra: str) -> dict[str, str]:
        """The settings of all services, as they read them."""
        settings = self.settings().model_dump(include=set(COMMON))
        return environment(**{f"RAPPORT_{name.upper()}": str(value) for name, value in settings.items()}, **extra)

    def _launch(self, name: str, port: int, instances: bool) -> Launch:
        if name == "ingest":
            env = self.environment(RAPPORT_INGEST_PORT=str(port))
            return Launch(name, (sys.executable, "-m", "services.ingest"), env, answers(f"{self.ingest}/readyz"))
        module = {"alerts": "services.alerts", self.workers[0]: "tests.e2e.failing_worker"}.get(
            name, "services.scoring"
        )
        env = self.environment(
            RAPPORT_METRICS_PORT=str(port), RAPPORT_INSTANCE=name if instances else "", **{FUSE: str(self.fuse)}
        )
        return Launch(name, (sys.executable, "-m", module), env, answers(f"http://{LOOPBACK}:{port}/readyz"))

    @property
    def ready(self) -> dict[str, str]:
        """What a sender needs."""
        return {"ingest": self.ingest, "write_key": self.write_key}

    async def start(self) -> None:
        """Servers, topics, then services; returns when all are ready."""
        await asyncio.gather(self.kafka.start(), self.server.start())
        await self.store.prepare()
        await self.store.add_key(as_stored(self.write_key, TENANT, "sender", now_ms()))
        await establish(self.bootstrap, self.store, PARTITIONS, new_id)
        self.start_services()
        await self.well()

    def say(self, text: str) -> None:
        """Into the log, and to whoever listens."""
        self.journal.say(text)
        for listener in self.listeners:
            listener(text)

    def start_services(self) -> None:
        for service in self.services.values():
            service.start()

    async def stop_services(self) -> None:
        await asyncio.gather(*(service.stop() for service in self.services.values()))

    async def stop(self) -> None:
        await self.stop_services()
        await self.store.close()
        await asyncio.gather(self.kafka.stop(), self.server.stop(), return_exceptions=True)
        self.journal.close()

    async def well(self) -> None:
        """Return when every service is ready, and every worker a member of the group."""

        async def all_there() -> bool:
            if not all(service.ready for service in self.services.values()):
                return False
            return await members(self.bootstrap, SCORING) == len(self.workers)

        await until(all_there, "every service ready and every worker in the group")

    @property
    def restarts(self) -> dict[str, int]:
        """How often each service was started again."""
        return {name: service.keeper.restarts for name, service in self.services.items()}


SCORING, ALERTING = "rapport-scoring", "rapport-alerts"
COMMON = ("kafka", "mongo", "database", "partitions", "evaluation_seconds", "session_timeout_ms")


@asynccontextmanager
async def cluster(here: Path, workers: int = 3, *, instances: bool = False) -> AsyncIterator[Cluster]:
    """A cluster that runs from its readiness to the end of the block. `instances`: static membership."""
    made = Cluster(here, workers, instances)
    try:
        await made.start()
        yield made
    except Exception as error:
        error.add_note(f"logs: {made.journal.path}")
        raise
    finally:
        await made.stop()


# --- what the broker says of the group and the log ----------------------------------------------------------------


@asynccontextmanager
async def administering(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def members(bootstrap: str, group: str) -> int:
    """How many members a group has that is not being rebalanced; 0 while it is."""
    async with administering(bootstrap) as admin:
        (answer,) = await admin.describe_consumer_groups([group])
    (found,) = answer.to_object()["groups"]
    return len(found["members"]) if found["state"] == "Stable" else 0


async def committed(bootstrap: str, group: str, topic: str) -> dict[int, int]:
    """The group's offsets of a topic of ours, 0 where it has none."""
    places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    async with administering(bootstrap) as admin:
        found = await admin.list_consumer_group_offsets(group, partitions=places)
    return {place.partition: max(0, found[place].offset) for place in places}


async def ends(bootstrap: str, topic: str) -> dict[int, int]:
    """The offset after the last record of each partition of a topic of ours."""
    places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        found = await consumer.end_offsets(places)
    finally:
        await consumer.stop()
    return {place.partition: int(found[place]) for place in places}
