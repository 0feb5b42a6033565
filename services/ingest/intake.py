"""Taking events in, whichever way they came: hold them to the contract, publish, set aside what is rejected."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec

from services.ingest.identity import relationship_of
from services.ingest.logidentity import LogIdentity
from services.ingest.outbound import Busy, Outbound
from shared.domain.contract.accepting import MAX_EVENT_BYTES, Acceptance, Rejection, accept
from shared.domain.contract.events import Interaction, Millis, relationship_key
from shared.domain.errors import Unavailable
from shared.stream.frames import events_messages
from shared.stream.ports import Message
from shared.stream.quarantine import PARTITION, Reason, quarantine_message
from shared.stream.topics import INTERACTIONS, QUARANTINE, partition_of
from shared.telemetry import Metrics

TURN = 500  # events after which others get their turn: about 5 ms


class Item(msgspec.Struct, frozen=True, gc=False):
    """One event as it came, and the record it came from, if any."""

    raw: bytes | msgspec.Raw
    origin: str = ""


class Delivery(msgspec.Struct, frozen=True):
    """A request's or a fetch's events of one tenant, and how they came (http, inbox)."""

    tenant: str
    source: str
    items: Sequence[Item]


class Receipt(msgspec.Struct, frozen=True):
    """What became of them: all are in the log or in quarantine by now."""

    accepted: int
    rejected: tuple[Rejection, ...] = ()


class Intake:
    """Where all sources meet."""

    def __init__(
        self,
        outbound: Outbound,
        log: LogIdentity,
        metrics: Metrics,
        now: Callable[[], Millis],
        *,
        partitions: int,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        self._outbound = outbound
        self._log = log
        self._metrics = metrics
        self._now = now
        self._partitions = partitions
        self._max_event_bytes = max_event_bytes
        # Looking a metric up by its labels costs twice as much as counting.
        self._counted = lru_cache(lambda source: (metrics.events_in.labels(source), metrics.batch_size.labels(source)))
        self._handed_on = metrics.events_out.labels(INTERACTIONS)

    async def take(self, delivery: Delivery) -> Receipt:
        """Publish what is accepted, set aside what is not. Raises Unavailable: then all of it is to be sent again."""
        now = self._now()
        terms = Acceptance(delivery.tenant, now, relationship_of, self._max_event_bytes)
        incarnation = self._log.incarnation()
        accepted: dict[int, list[Interaction]] = defaultdict(list)
        refused: list[Message] = []
        rejected: list[Rejection] = []
        for index, item in enumerate(delivery.items):
            if index % TURN == TURN - 1:
                await asyncio.sleep(0)
            answer = accept(item.raw, index, terms)
            if isinstance(answer, Rejection):
                rejected.append(answer)
                refused.append(_set_aside(delivery, item, answer, now))
            else:
                key = relationship_key(answer.tenant, answer.relationship).encode()
                accepted[partition_of(key, self._partitions)].append(answer)
        parts = {
            (INTERACTIONS, partition): events_messages(events, incarnation, now)
            for partition, events in accepted.items()
        }
        if refused:
            parts[QUARANTINE, PARTITION] = refused
        await self._put(parts)
        self._count(delivery, rejected)
        return Receipt(len(delivery.items) - len(rejected), tuple(rejected))

    async def refuse(self, delivery: Delivery, reason: str, detail: str) -> Receipt:
        """Set all of it aside for one reason."""
        now = self._now()
        rejected = [Rejection(index, "", reason, detail) for index in range(len(delivery.items))]
        messages = [_set_aside(delivery, *pair, now) for pair in zip(delivery.items, rejected, strict=True)]
        await self._put({(QUARANTINE, PARTITION): messages})
        self._count(delivery, rejected)
        return Receipt(0, tuple(rejected))

    async def _put(self, parts: dict[tuple[str, int], list[Message]]) -> None:
        try:
            await self._outbound.put(parts)
        except Busy:
            raise
        except Unavailable:
            self._log.doubt()
            raise

    def _count(self, delivery: Delivery, rejected: Sequence[Rejection]) -> None:
        count = len(delivery.items)
        taken, sizes = self._counted(delivery.source)
        taken.inc(count)
        sizes.observe(count)
        self._handed_on.inc(count - len(rejected))
        for rejection in rejected:
            self._metrics.quarantined.labels(rejection.reason).inc()


def _set_aside(delivery: Delivery, item: Item, why: Rejection, now: Millis) -> Message:
    reason = Reason(why.reason, why.detail, why.id)
    return quarantine_message(delivery.tenant, delivery.source, reason, now, item.raw, item.origin)
