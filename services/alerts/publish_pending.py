"""Seeing a stored alert through: its deliveries into the outbox, itself onto the topics, then the mark that says so.

The order is what makes a crash harmless at every point:

1. the closed episode is archived (idempotent), 2. the alert is stored by compare-and-set, with the verdict's cause and
a timeline entry for what happened; 3. deliveries are added, with ids derived from the entry; 4. alert and feed item
are published; 5. `published_version` is raised; 6. the offset of the verdict is committed.

- Before 2 nothing has happened, and the verdict comes again.
- Between 2 and 5 the verdict comes again, and is ignored because its cause is not later; but the alert's
  `published_version` lags, and from its timeline the same deliveries follow, with the same ids: the outbox keeps those
  it has. Publishing again is harmless, since readers apply by (alert, version).
- Should the verdict not come again (its log is gone), the sweep does the same for every alert that lags.
- A change made through the API meanwhile does not hide the gap: it raises `published_version` only if the version
  before it had been seen through (`shared.stream.feed`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from services.alerts.payload import deliveries_owed
from shared.domain.alerts.alert import Alert
from shared.domain.contract.events import Millis
from shared.domain.playbooks.model import Playbook
from shared.storage.store import Store
from shared.stream.feed import publish_alerts
from shared.stream.ports import Publisher
from shared.telemetry import Metrics

CHUNK = 64  # marks under way at once


class PendingPublisher:
    """Steps 3 to 5 for any number of alerts. `woken` is set when there is something in the outbox."""

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        playbook: Playbook,
        channels: Collection[str],
        metrics: Metrics,
        clock: Callable[[], Millis],
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._playbook = playbook
        self._channels = frozenset(channels)
        self._metrics = metrics
        self._clock = clock
        self.woken = asyncio.Event()

    async def publish_pending(self, alerts: Sequence[Alert]) -> None:
        """Do what is lacking for these stored alerts; nothing for those seen through. Raises Unavailable."""
        lagging = [alert for alert in alerts if alert.published_version < alert.version]
        if not lagging:
            return
        now = self._clock()
        deliveries = [
            delivery for alert in lagging for delivery in deliveries_owed(alert, self._playbook, self._channels, now)
        ]
        if deliveries:
            await self._store.add_deliveries(deliveries)
            self.woken.set()
        await publish_alerts(self._publisher, lagging)
        self._metrics.events_out.labels("rapport.alerts").inc(len(lagging))
        for start in range(0, len(lagging), CHUNK):
            await asyncio.gather(
                *(self._store.mark_published(alert.id, alert.version) for alert in lagging[start : start + CHUNK])
            )
