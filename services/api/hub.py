"""The feed of one API replica: one reader of `rapport.feed`, fanned out to the subscribers of each tenant.

A position is the offset of the next record. An event's id is `INCARNATION-POSITION`, the same on every replica.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from types import TracebackType
from typing import cast

import msgspec

from shared.domain.alerts.feed import ALERT, SCORE, FeedItem
from shared.domain.errors import Misconfigured, Poison, Unavailable
from shared.storage.store import StateStore
from shared.stream.ports import LogReader, Publisher, Record
from shared.stream.quarantine import PARTITION as QUARANTINE_PARTITION
from shared.stream.quarantine import Reason, quarantine_message
from shared.stream.topics import FEED, QUARANTINE
from shared.telemetry import Metrics, logger
from shared.wire import decode

QUEUE_LIMIT = 1_000  # events a subscriber may lag behind before it is cut off
RESUME_LIMIT = 50_000  # records read again for one resuming subscriber; whoever is further behind starts over
RETRY_SECONDS = 0.5
INCARNATION_CHECK_SECONDS = 5.0

RESET = "reset"
TYPES = frozenset((ALERT, SCORE))

_EVENT_ID = re.compile(r"(.+?)-(-?\d{1,18})")


class FeedEvent(msgspec.Struct, frozen=True):
    """One event for a subscriber: id (`INCARNATION-POSITION`), type (alert, score, reset) and its data as JSON text."""

    id: str
    type: str
    data: str


def event_of(item: FeedItem, incarnation: str, offset: int) -> FeedEvent:
    """The event that shows an item of the feed."""
    return FeedEvent(f"{incarnation}-{offset}", item.kind, bytes(item.payload).decode())


class SlowConsumer(Exception):
    """The subscriber fell more events behind than are kept for it; it may resume from the last id it has seen."""


class Stopped(Exception):
    """This replica is stopping; the subscriber may resume from its last id on another."""


class FeedHub:
    """Reads the feed from its end on (`run`), and hands each event to those who subscribed to its tenant."""

    def __init__(
        self,
        store: StateStore,
        reader: LogReader,
        publisher: Publisher,
        metrics: Metrics,
        *,
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        self.queue_limit = queue_limit
        self.incarnation = ""
        self.position = 0
        self.epoch = 0  # grows when the position jumps: what was read before no longer joins what comes
        self.ready = False
        self._started = asyncio.Event()
        self._stopped = False
        self._store = store
        self._reader = reader
        self._publisher = publisher
        self._metrics = metrics
        self._subscribers: dict[str, set[Subscription]] = defaultdict(set)

    async def run(self) -> None:
        """Follow the feed for ever; while the log or the store is unavailable, try again. Other errors end it.

        A log that was created anew under our eyes is misconfigured for the offset we ask for: attaching again resets.
        """
        while True:
            try:
                await self._attach()
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._follow())
                    group.create_task(self._watch_incarnation())
            except* (Unavailable, Misconfigured) as group_of_errors:
                logger().warning("the feed is not readable, trying again", error=str(group_of_errors.exceptions[0]))
            finally:
                self.ready = False
            await asyncio.sleep(RETRY_SECONDS)

    async def started(self) -> None:
        """Wait until the feed was reached for the first time."""
        await self._started.wait()

    def stop(self) -> None:
        """End every subscription with `Stopped`, now and from now on."""
        self._stopped = True
        for subscription in self._everyone():
            subscription.end(Stopped())

    def subscribe(self, tenant: str, *, types: frozenset[str] = TYPES, after: str | None = None) -> Subscription:
        """The tenant's events from this very moment on, or from the one after the event id `after` on."""
        subscription = Subscription(self, tenant, types, after)
        if self._stopped:
            subscription.end(Stopped())
        return subscription

    @property
    def last_id(self) -> str:
        """The id to resume from in order to get whatever comes next."""
        return f"{self.incarnation}-{self.position - 1}"

    def reset_event(self, reason: str) -> FeedEvent:
        """Tells a subscriber that events may be missing: read the lists again, then go on from this id."""
        return FeedEvent(self.last_id, RESET, msgspec.json.encode({"reason": reason}).decode())

    # --- for subscriptions -------------------------------------------------------------------------------------------

    def join(self, subscription: Subscription) -> None:
        """From now on the subscription is offered every record at or after the hub's position."""
        self._subscribers[subscription.tenant].add(subscription)

    def leave(self, subscription: Subscription) -> None:
        """Forget a subscription; harmless if it never joined."""
        members = self._subscribers.get(subscription.tenant)
        if members is not None:
            members.discard(subscription)
            if not members:
                del self._subscribers[subscription.tenant]

    async def start_after(self, event_id: str) -> int | str:
        """The offset that follows an event id, or the reason in words why it cannot be resumed from."""
        match = _EVENT_ID.fullmatch(event_id)
        if match is None or match[1] != self.incarnation:
            return "the event id belongs to another log"
        start = int(match[2]) + 1
        first, end = await self._reader.bounds(FEED, 0)
        if not first <= start <= max(end, self.position):
            return "the events after this id are no longer in the log"
        if max(end, self.position) - start > RESUME_LIMIT:
            return f"more than {RESUME_LIMIT} records have been written since this id"
        return start

    async def history(self, start: int, end: int) -> AsyncIterator[Record]:
        """The feed's records from offset `start` to before `end`."""
        reading = cast("AsyncGenerator[Record, None]", self._reader.read(FEED, 0, start, follow=False))
        async with aclosing(reading) as records:
            async for record in records:
                if record.offset >= end:
                    return
                yield record

    # --- the tail ----------------------------------------------------------------------------------------------------

    async def _attach(self) -> None:
        found = await self._store.incarnation(FEED)
        if found is None:
            raise Unavailable(f"topic {FEED} has no incarnation yet: it is created when the stack starts")
        first, end = await self._reader.bounds(FEED, 0)
        known = self.incarnation
        if known != found.incarnation or not first <= self.position <= end:
            self.incarnation, self.position = found.incarnation, end
            self.epoch += 1
            if known:
                event = self.reset_event("the feed was created anew")
                for subscription in self._everyone():
                    subscription.offer(event)
        self.ready = True
        self._started.set()

    async def _follow(self) -> None:
        reading = cast("AsyncGenerator[Record, None]", self._reader.read(FEED, 0, self.position, follow=True))
        async with aclosing(reading) as records:
            async for record in records:
                if record.offset >= self.position:
                    try:
                        self._hand_out(record)
                    except Poison as error:
                        await self._set_aside(record, error)
                    self.position = record.offset + 1

    def _hand_out(self, record: Record) -> None:
        item = decode(record.value, FeedItem)
        self._metrics.events_in.labels(FEED).inc()
        event = event_of(item, self.incarnation, record.offset)
        for subscription in tuple(self._subscribers.get(item.tenant, ())):
            if record.offset >= subscription.position and event.type in subscription.types:
                subscription.offer(event)

    async def _set_aside(self, record: Record, error: Poison) -> None:
        """Every replica does so: better told twice than not at all."""
        reason = Reason(error.reason, error.detail)
        origin = f"{FEED}/0/{record.offset}"
        message = quarantine_message("", "feed", reason, record.timestamp, record.value, origin)
        await self._publisher.publish(QUARANTINE, QUARANTINE_PARTITION, [message])
        self._metrics.quarantined.labels(error.reason).inc()
        logger().error("a record of the feed is in quarantine", origin=origin, reason=error.reason, detail=error.detail)

    async def _watch_incarnation(self) -> None:
        while True:
            await asyncio.sleep(INCARNATION_CHECK_SECONDS)
            found = await self._store.incarnation(FEED)
            if found is None or found.incarnation != self.incarnation:
                raise Unavailable(f"topic {FEED} was created anew")

    def _everyone(self) -> list[Subscription]:
        return [subscription for members in self._subscribers.values() for subscription in members]


class Subscription:
    """One subscriber's events: iterate over it within `with`. Ends by raising SlowConsumer or Stopped."""

    def __init__(self, hub: FeedHub, tenant: str, types: frozenset[str], after: str | None) -> None:
        self.tenant = tenant
        self.types = types
        self.position = hub.position
        self.start_id = after or hub.last_id
        self._hub = hub
        self._after = after
        self._queue: deque[FeedEvent] = deque()
        self._wake = asyncio.Event()
        self._ended: Exception | None = None
        if after is None:
            hub.join(self)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take no more events."""
        self._hub.leave(self)

    def offer(self, event: FeedEvent) -> None:
        """Queue an event; a subscriber that has too many waiting is cut off."""
        if len(self._queue) >= self._hub.queue_limit:
            self.end(SlowConsumer(f"{len(self._queue)} events were waiting"))
            return
        self._queue.append(event)
        self._wake.set()

    def end(self, reason: Exception) -> None:
        """Raise `reason` in the iteration instead of what is still waiting."""
        self._hub.leave(self)
        self._queue.clear()
        self._ended = reason
        self._wake.set()

    async def __aiter__(self) -> AsyncIterator[FeedEvent]:
        if self._after is not None:
            async for event in self._catch_up(self._after):
                yield event
        while True:
            while self._queue:
                yield self._queue.popleft()
            if self._ended is not None:
                raise self._ended
            self._wake.clear()
            await self._wake.wait()

    async def _catch_up(self, after: str) -> AsyncIterator[FeedEvent]:
        """What was written since, read from the log; joins the tail exactly where the reading stops."""
        hub, incarnation, epoch = self._hub, self._hub.incarnation, self._hub.epoch
        start = await hub.start_after(after)
        if isinstance(start, str):
            self.position = hub.position
            hub.join(self)
            yield hub.reset_event(start)
            return
        self.position = start
        lost = ""
        # Nothing is awaited between the last comparison and joining: no record falls into a gap.
        while self.position < hub.position and hub.epoch == epoch and not lost:
            before = self.position
            try:
                async for record in hub.history(self.position, hub.position):
                    self.position = record.offset + 1
                    event = self._event(record, incarnation)
                    if event is not None:
                        yield event
            except Misconfigured as error:  # retention was faster than the reading
                lost = str(error)
            if self.position == before:  # the broker does not show yet what the tail has seen already
                await asyncio.sleep(0.02)
        hub.join(self)
        if lost or hub.epoch != epoch:
            self.position = hub.position
            yield hub.reset_event(lost or "the feed was created anew")

    def _event(self, record: Record, incarnation: str) -> FeedEvent | None:
        try:
            item = decode(record.value, FeedItem)
        except Poison as error:  # the tail that met it has put it into quarantine
            logger().warning("passing over a record of the feed", offset=record.offset, detail=error.detail)
            return None
        mine = item.tenant == self.tenant and item.kind in self.types
        return event_of(item, incarnation, record.offset) if mine else None
