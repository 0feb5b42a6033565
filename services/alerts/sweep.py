"""Rule 17's sweep: sees through what a crash left between store and feed, and keeps the gauges current."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from services.alerts.publish_pending import PendingPublisher
from shared.domain.contract.events import Millis
from shared.domain.errors import Unavailable
from shared.domain.relationship.flags import Severity
from shared.storage.store import Store
from shared.telemetry import Metrics, logger

EVERY_SECONDS = 2.0
LIMIT = 200  # alerts seen through a time
GRACE: Millis = 2_000  # whoever has just changed an alert is given so long to publish it himself


class Sweep:
    """Runs until cancelled; any number of replicas may."""

    def __init__(
        self, store: Store, settlement: PendingPublisher, metrics: Metrics, clock: Callable[[], Millis]
    ) -> None:
        self._store = store
        self._settlement = settlement
        self._metrics = metrics
        self._clock = clock
        self.every = EVERY_SECONDS

    async def run(self) -> None:
        while True:
            try:
                await self.turn()
            except Unavailable as error:
                self._metrics.store_errors.labels("sweep").inc()
                logger().warning("unavailable", error=str(error), retry_seconds=self.every)
            await asyncio.sleep(self.every)

    async def turn(self) -> int:
        """See through the alerts that lag; how many. Raises Unavailable."""
        now = self._clock()
        lagging = [alert for alert in await self._store.unpublished(LIMIT) if alert.updated_at <= now - GRACE]
        await self._settlement.publish_pending(lagging)
        await self._gauge(now)
        return len(lagging)

    async def _gauge(self, now: Millis) -> None:
        counts = await self._store.open_counts()
        for severity in Severity:
            self._metrics.open_alerts.labels(severity).set(counts.get(severity, 0))
        pending, age = await self._store.outbox_age(now)
        self._metrics.outbox_pending.set(pending)
        self._metrics.outbox_age.set(age / 1000)
