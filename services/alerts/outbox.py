"""The outbox worker: claims deliveries that are due, hands them to their channels, and records what came of it.

A claim is an attempt counted in advance: `attempts` is raised by compare-and-set and the next attempt put behind a
lease, so of two workers one sends. A worker that dies while sending leaves the claim to run out, and the message is
sent again under the same `webhook-id`: at least once, and recognisable.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from services.alerts.channels import Answer, Channel, Outcome
from shared.domain.alerts.delivery import ATTEMPTS, LEASE, next_attempt
from shared.domain.contract.events import Millis
from shared.domain.errors import Conflict, Unavailable
from shared.storage.store import Delivery, OutboxStore
from shared.telemetry import Metrics, logger

UNDER_WAY = 32  # deliveries being sent at once
POLL_SECONDS = 1.0


class OutboxWorker:
    """Runs until cancelled. `woken` is set by whoever has added deliveries; else the outbox is asked each second."""

    def __init__(
        self,
        store: OutboxStore,
        channels: Mapping[str, Channel],
        metrics: Metrics,
        clock: Callable[[], Millis],
        woken: asyncio.Event,
    ) -> None:
        self._store = store
        self._channels = channels
        self._metrics = metrics
        self._clock = clock
        self._woken = woken
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Deliver for ever. An unexpected error ends it, and with it the process."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._woken.clear()
                try:
                    await self.turn(group)
                except Unavailable as error:
                    self._metrics.store_errors.labels("outbox").inc()
                    logger().warning("unavailable", error=str(error), retry_seconds=POLL_SECONDS)
                await self._wait()

    async def turn(self, group: asyncio.TaskGroup) -> int:
        """Claim what is due, as far as there is room, and begin to send it; how many. Raises Unavailable."""
        room = UNDER_WAY - len(self._sending)
        due = await self._store.due_deliveries(self._clock(), room) if room > 0 else []
        claims = [claimed for claimed in [await self._claim(delivery) for delivery in due] if claimed is not None]
        for claimed in claims:
            task = group.create_task(self._deliver(claimed))
            self._sending.add(task)
            task.add_done_callback(self._sent)
        return len(claims)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._woken.set()  # there is room again

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._woken.wait()

    async def _claim(self, delivery: Delivery) -> Delivery | None:
        """The delivery with this attempt counted, or None if it is somebody else's or has had its last."""
        now = self._clock()
        if delivery.attempts >= ATTEMPTS:  # whoever made the last attempt did not live to record it
            await self._record(delivery, replace(delivery, state="failed", last_error="worker lost in last attempt"))
            return None
        claimed = replace(delivery, attempts=delivery.attempts + 1, next_attempt_at=now + LEASE)
        return claimed if await self._record(delivery, claimed) else None

    async def _deliver(self, claimed: Delivery) -> None:
        channel = self._channels.get(claimed.channel)
        if channel is None:
            outcome = Outcome(Answer.RETRY, f"channel {claimed.channel} is not set up")
        else:
            outcome = await channel.send(claimed, self._clock())
        try:
            await self._record(claimed, self._after(claimed, outcome))
        except Unavailable as error:  # the claim runs out, and it is sent again
            self._metrics.store_errors.labels("outbox").inc()
            logger().warning("delivery_not_recorded", delivery=claimed.id, error=str(error))

    def _after(self, claimed: Delivery, outcome: Outcome) -> Delivery:
        now = self._clock()
        if outcome.answer is Answer.DELIVERED:
            self._metrics.events_out.labels(claimed.channel).inc()
            return replace(claimed, state="delivered", delivered_at=now, last_error="")
        self._metrics.delivery_errors.labels(claimed.channel).inc()
        again = next_attempt(claimed.attempts, now) if outcome.answer is Answer.RETRY else None
        logger().warning(
            "delivery_failed",
            delivery=claimed.id,
            channel=claimed.channel,
            attempt=claimed.attempts,
            error=outcome.detail,
            final=again is None,
        )
        if again is None:
            return replace(claimed, state="failed", last_error=outcome.detail)
        return replace(claimed, next_attempt_at=again, last_error=outcome.detail)

    async def _record(self, before: Delivery, after: Delivery) -> bool:
        """Compare and set; False if somebody else was faster. Raises Unavailable."""
        try:
            await self._store.update_delivery(after, expected_attempts=before.attempts)
        except Conflict:
            return False
        return True
