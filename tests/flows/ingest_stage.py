"""Ingest on a stage: the real application, a log and a store in memory, and a clock that tests set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from services.ingest.access import Access
from services.ingest.app import create_app
from services.ingest.endpoint import Events
from services.ingest.inbox import Inbox
from services.ingest.intake import Intake
from services.ingest.logidentity import LogIdentity
from services.ingest.outbound import Outbound
from shared import wire
from shared.domain.contract.events import Interaction
from shared.domain.errors import Unavailable
from shared.domain.keys import format_key, hash_secret
from shared.storage.memory import MemoryStore
from shared.storage.store import ApiKey, Incarnation
from shared.stream.frames import interactions, read_frame
from shared.stream.memory import MemoryLog
from shared.stream.ports import Message, Publisher
from shared.stream.quarantine import Entry, Quarantined
from shared.stream.topics import INBOX, INTERACTIONS, QUARANTINE, UPDATES
from shared.telemetry import Metrics

NOW = 1_790_000_000_000  # 2026-09-21T14:13:20Z
PARTITIONS = 4
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"
WRITE_KEY = format_key("write", "app", SECRET)
BATCH = "application/cloudevents-batch+json"


def event(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A usage event of acct-NUMBER."""
    return {
        "specversion": "1.0",
        "id": f"e-{number}",
        "source": "/app",
        "type": "usage.feature_used",
        "time": "2026-09-21T12:00:00Z",
        "subject": f"acct-{number}",
        "data": {"feature": "export", "quantity": 2},
        **changes,
    }


class Switchable:
    """A publisher whose broker can be switched off; `after` counts the publishes that still work."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self.after: int | None = None

    async def publish(self, topic: str, partition: int, messages: Sequence[Message]) -> int:
        if self.after is not None:
            if self.after == 0:
                raise Unavailable("Kafka does not answer")
            self.after -= 1
        return await self._publisher.publish(topic, partition, messages)

    async def close(self) -> None:
        await self._publisher.close()


class Stage:
    """Everything at hand for a test; `async with` it."""

    def __init__(self, **limits: Any) -> None:
        self.now = NOW
        self.seconds = 0.0  # of the monotonic clock by which requests are gathered
        self.log = MemoryLog(PARTITIONS)
        for topic in (QUARANTINE, UPDATES):
            self.log.create(topic, 1)
        self.store = MemoryStore()
        self.broker = Switchable(self.log.publisher())
        self.metrics = Metrics("ingest")
        self.topics_missing = False
        self.identity = LogIdentity(self.store, PARTITIONS, self.metrics, self._topics)
        self.outbound = Outbound(self.broker, **limits)
        self.access = Access(self.store, lambda: self.now)
        self.intake = Intake(self.outbound, self.identity, self.metrics, lambda: self.now, partitions=PARTITIONS)
        self.inbox = Inbox(self.intake, self.access)
        self.member = self.log.member(INBOX, self.inbox)
        events = Events(self.intake, self.access, 4 * 1024 * 1024, lambda: self.seconds)
        self.app = create_app(events, self._ready, self.metrics)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app), base_url="http://ingest")

    async def _topics(self) -> None:
        if self.topics_missing:
            raise Unavailable("Topic rapport.interactions is missing")

    async def _ready(self) -> None:
        self.identity.incarnation()
        await self.store.ping()

    async def __aenter__(self) -> Stage:
        await self.store.set_incarnation(Incarnation(INTERACTIONS, "log-1", PARTITIONS))
        await self.identity.refresh()
        await self.add_key("app", "write", "acme")
        await self.add_key("reader", "api", "acme")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def add_key(self, id: str, kind: str, tenant: str) -> None:
        await self.store.add_key(ApiKey(id, tenant, kind, hash_secret(SECRET), id, NOW))

    async def post(
        self, what: Any, media: str = BATCH, key: str = WRITE_KEY, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        body = what if isinstance(what, bytes) else json.dumps(what).encode()
        sent = {"Content-Type": media, "Authorization": f"Bearer {key}", **(headers or {})}
        return await self.client.post("/v1/events", content=body, headers=sent)

    def published(self) -> list[Interaction]:
        """What is on rapport.interactions, by partition."""
        return [
            event
            for partition in range(PARTITIONS)
            for record in self.log.records(INTERACTIONS, partition)
            for event in interactions(read_frame(record.value))
        ]

    def quarantine(self) -> list[Quarantined]:
        return [entry.item for entry in self.entries()]

    def entries(self) -> list[Entry]:
        return [Entry(found.offset, wire.decode(found.value, Quarantined)) for found in self.log.records(QUARANTINE)]

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0
