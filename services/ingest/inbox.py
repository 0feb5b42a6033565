"""The inbox: events that systems wrote to Kafka themselves, held to the same contract and handed on."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence

from services.ingest.access import Access, AccessDenied
from services.ingest.intake import Delivery, Intake, Item
from services.ingest.sources.cloudevents import JSON, binary_event
from shared.domain.errors import Unavailable
from shared.stream.ports import Batch, NeverBehind, Record
from shared.stream.quarantine import INBOX
from shared.telemetry import logger

KEY_HEADER = "rapport-write-key"
ATTRIBUTE = "ce_"  # prefix of the headers that carry attributes in binary mode
PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds between tries; the last one for ever

Sleep = Callable[[float], Awaitable[None]]


class Inbox(NeverBehind):
    """Processor of rapport.inbox. What was applied is in the log or in quarantine, so offsets may be committed.

    After a crash in between, records are handed on again; scoring counts an event id once.
    """

    def __init__(self, intake: Intake, access: Access, sleep: Sleep = asyncio.sleep) -> None:
        self._intake = intake
        self._access = access
        self._sleep = sleep
        self._next: dict[int, int] = {}

    async def assigned(self, partitions: Sequence[int]) -> None:
        """Nothing is kept of a partition beforehand."""

    async def apply(self, batch: Batch) -> int:
        """Hand on the records of a partition; tries again for as long as broker or store are silent."""
        if batch.records:
            await self._until_available(lambda: self._take(batch))
            self._next[batch.partition] = batch.records[-1].offset + 1
        return len(batch.records)

    def full(self) -> bool:
        """Never: nothing waits for a flush."""
        return False

    async def flush(self) -> Mapping[int, int]:
        """The next offset to read, by partition."""
        return dict(self._next)

    async def revoked(self, partitions: Sequence[int]) -> None:
        """Forget these partitions."""
        for partition in partitions:
            self._next.pop(partition, None)

    async def _until_available(self, attempt: Callable[[], Awaitable[None]]) -> None:
        tries = 0
        while True:
            try:
                await attempt()
                return
            except Unavailable as error:
                pause = PAUSES[min(tries, len(PAUSES) - 1)]
                tries += 1
                logger().warning("inbox waits", error=str(error), tries=tries, pause=pause)
                await self._sleep(pause)

    async def _take(self, batch: Batch) -> None:
        by_tenant: dict[str, list[Item]] = defaultdict(list)
        refused: dict[tuple[str, str], list[Item]] = defaultdict(list)
        for record in batch.records:
            item = Item(_event(record), f"{batch.topic}/{batch.partition}/{record.offset}")
            try:
                by_tenant[await self._access.tenant(_key(record))].append(item)
            except AccessDenied as error:
                refused[error.reason, error.detail].append(item)
        for (reason, detail), items in refused.items():
            text = f"{detail} It is taken from the record header `{KEY_HEADER}`."
            await self._intake.refuse(Delivery("", INBOX, items), reason, text)
        for tenant, items in by_tenant.items():
            await self._intake.take(Delivery(tenant, INBOX, items))


def _key(record: Record) -> str:
    return next(((value or b"").decode("ascii", "replace") for name, value in record.headers if name == KEY_HEADER), "")


def _event(record: Record) -> bytes:
    """The record's event as one JSON text: the value itself, or made of `ce_` headers and the value as data.

    Kafka knows records and headers without a value; they are taken for empty.
    """
    named = [
        (name[len(ATTRIBUTE) :], (value or b"").decode("utf-8", "replace"))
        for name, value in record.headers
        if name.startswith(ATTRIBUTE)
    ]
    value = record.value or b""
    return binary_event(named, JSON, value) if named else value
