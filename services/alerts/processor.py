"""From `rapport.updates` to alerts: verdicts applied in order, each seen through before its offset is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import msgspec
from msgspec.structs import replace

from services.alerts.publish_pending import PendingPublisher
from shared import wire
from shared.domain.alerts.alert import Alert
from shared.domain.alerts.lifecycle import Transition, What, apply_change, renew
from shared.domain.contract.events import Millis
from shared.domain.errors import Conflict, Poison
from shared.domain.playbooks.model import Playbook
from shared.domain.relationship.flags import FlagChange, StandingFlag, Update, UpdateBatch, fingerprint
from shared.patience import Pause, Retry
from shared.storage.store import Store
from shared.stream.feed import publish_scores
from shared.stream.ports import Batch, NeverBehind, Publisher, Record
from shared.stream.quarantine import Reason, quarantine_message
from shared.stream.topics import QUARANTINE, UPDATES
from shared.telemetry import Metrics

CHUNK = 64  # alerts being written at once
_NEWS = (What.OPENED, What.REOPENED, What.ESCALATED)


class PendingChange(msgspec.Struct, frozen=True):
    """A flag that changed, or that stands in other words, on its way to the alert of its fingerprint.

    `received` is the receipt of its event, or 0.
    """

    update: Update
    change: FlagChange | StandingFlag
    received: Millis

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.update.tenant, self.update.relationship, self.change.rule, self.change.subject)


class AlertProcessor(NeverBehind):
    """Processor on `rapport.updates`. Everything in `flush` may be done again from its start: see settlement.py."""

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        settlement: PendingPublisher,
        playbook: Playbook,
        metrics: Metrics,
        clock: Callable[[], Millis],
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._settlement = settlement
        self._playbook = playbook
        self._metrics = metrics
        self._clock = clock
        self._retry = Retry(metrics, pause)
        self.joined = False  # whether the group has ever let us in
        self._pending: dict[int, list[UpdateBatch]] = {}
        self._next: dict[int, int] = {}

    async def assigned(self, partitions: Sequence[int]) -> None:
        self.joined = True

    async def apply(self, batch: Batch) -> int:
        """Decode; what cannot be decoded goes to quarantine. The work itself waits for `flush`."""
        pending = self._pending.setdefault(batch.partition, [])
        for record in batch.records:
            try:
                pending.append(wire.decode(record.value, UpdateBatch))
            except Poison as poison:
                await self._retry(partial(self._quarantine, batch.partition, record, poison), "alerts")
                self._metrics.quarantined.labels(poison.reason).inc()
        self._next[batch.partition] = batch.records[-1].offset + 1
        return len(batch.records)

    def full(self) -> bool:
        """Never: updates are few, and what waits is flushed at once."""
        return False

    async def flush(self) -> Mapping[int, int]:
        """Apply every verdict that waits, and see its alert through; retried while store or broker are down."""
        batches = [batch for waiting in self._pending.values() for batch in waiting]
        if batches:
            await self._retry(partial(self._work, batches), "alerts")
            self._pending.clear()
        return dict(self._next)

    async def revoked(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self._pending.pop(partition, None)
            self._next.pop(partition, None)

    async def _quarantine(self, partition: int, record: Record, poison: Poison) -> None:
        origin = f"{UPDATES}/{partition}/{record.offset}"
        reason = Reason(poison.reason, poison.detail)
        message = quarantine_message("", "alerts", reason, self._clock(), record.value, origin)
        await self._publisher.publish(QUARANTINE, 0, [message])

    async def _work(self, batches: Sequence[UpdateBatch]) -> None:
        await self._apply_verdicts(verdicts_of(batches))
        newest = {(update.tenant, update.relationship): update for batch in batches for update in batch.updates}
        await publish_scores(self._publisher, list(newest.values()))

    async def _apply_verdicts(self, queues: Mapping[str, list[PendingChange]]) -> None:
        """Round by round, the next verdict of every fingerprint, so that each version of an alert is seen through."""
        if not queues:
            return
        stored = await self._store.alerts(list(queues))
        await self._settlement.publish_pending(list(stored.values()))  # what a crash has left open
        current: dict[str, Alert | None] = {id: _seen(stored.get(id)) for id in queues}
        for number in range(max(len(queue) for queue in queues.values())):
            turn = [(id, queue[number]) for id, queue in queues.items() if number < len(queue)]
            for start in range(0, len(turn), CHUNK):
                part = turn[start : start + CHUNK]
                changed = await asyncio.gather(*(self._apply_one(current[id], verdict) for id, verdict in part))
                await self._settlement.publish_pending([alert for alert in changed if alert is not None])
                current |= {id: _seen(alert) for (id, _), alert in zip(part, changed, strict=True)}

    async def _apply_one(self, alert: Alert | None, verdict: PendingChange) -> Alert | None:
        """The alert as stored after the verdict; whoever changed it in between is built upon."""
        while True:
            step = self._step(alert, verdict)
            if step is None:
                return alert
            if step.archived is not None:
                await self._store.archive_episode(step.archived)
            try:
                await self._store.put_alert(step.alert, expected=alert.version if alert else 0)
            except Conflict:
                alert = await self._store.alert(verdict.update.tenant, verdict.fingerprint)
                continue
            self._observe(step.alert, verdict)
            return step.alert

    def _step(self, alert: Alert | None, verdict: PendingChange) -> Transition | None:
        change, now = verdict.change, self._clock()
        if isinstance(change, StandingFlag):
            return renew(alert, change, now)
        settings = self._playbook.rules.get(change.rule)
        advice = settings.advice if settings else ()
        return apply_change(alert, verdict.update, change, now, advice=advice, received=verdict.received)

    def _observe(self, alert: Alert, verdict: PendingChange) -> None:
        if (
            verdict.received
            and isinstance(verdict.change, FlagChange)
            and alert.timeline[-1].what in (What.OPENED, What.REOPENED, What.ESCALATED)
        ):
            seconds = max(0, self._clock() - verdict.received) / 1000
            self._metrics.event_to_alert.labels(alert.rule).observe(seconds)


def verdicts_of(batches: Iterable[UpdateBatch]) -> dict[str, list[PendingChange]]:
    """The verdicts in these batches by fingerprint, each list in the order of the log."""
    queues: dict[str, list[PendingChange]] = {}
    for batch in batches:
        for update in batch.updates:
            said: list[FlagChange | StandingFlag] = [*update.changes, *update.standing]
            for change in sorted(said, key=_order):
                verdict = PendingChange(update, change, batch.received)
                queues.setdefault(verdict.fingerprint, []).append(verdict)
    return queues


def _order(change: FlagChange | StandingFlag) -> tuple[int, int]:
    return change.cause.position, change.cause.step


def _seen(alert: Alert | None) -> Alert | None:
    return replace(alert, published_version=alert.version) if alert else None
