"""The alerts service over the store and the log in memory, with a clock that tests turn; and parts that fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.alerts.channels import Answer, Channel, Outcome
from services.alerts.outbox import OutboxWorker
from services.alerts.processor import AlertProcessor
from services.alerts.publish_pending import PendingPublisher
from services.alerts.sweep import Sweep
from shared import wire
from shared.domain.alerts.feed import FeedItem
from shared.domain.relationship.flags import Cause, Evidence, FlagChange, Severity, Update, UpdateBatch
from shared.playbooks.loader import builtin_playbook
from shared.storage.memory import MemoryStore
from shared.storage.store import Delivery
from shared.stream.memory import MemoryLog, MemoryMember
from shared.stream.ports import Message
from shared.stream.topics import FEED, UPDATES
from shared.telemetry import Metrics

NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z
FINGERPRINT = "acme/acct-42/usage_drop/"


class Crashed(Exception):
    """As if the process had been killed at this call."""


class CrashAt:
    """Passes calls on to `target` until `left` of them have been made; the next one never happens."""

    def __init__(self, target: Any, budget: Budget) -> None:
        self._target = target
        self._budget = budget

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._budget.spend(name)
            answer = await found(*args, **kwargs)
            self._budget.returned(name)
            return answer

        return call


class Budget:
    """How many halves of calls still happen: a call can be cut off before it takes effect, or after."""

    def __init__(self, left: int, error: Callable[[str], Exception] = Crashed) -> None:
        self.left = left
        self.error = error

    def spend(self, name: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.error(f"before {name}")

    def returned(self, name: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.error(f"after {name}")


class Recorder:
    """A channel that remembers, and answers what it is told to."""

    def __init__(self, *answers: Answer) -> None:
        self.sent: list[Delivery] = []
        self.times: list[int] = []
        self._answers = list(answers)

    async def send(self, delivery: Delivery, at: int) -> Outcome:
        self.sent.append(delivery)
        self.times.append(at)
        return Outcome(self._answers.pop(0) if self._answers else Answer.DELIVERED, "told to")

    async def close(self) -> None:
        return None


class Desk:
    """One world: store, log, clock. `worker()` is a process of the alerts service in it; there may be several."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.log = MemoryLog()
        self.now = NOW
        self.position = 0

    def clock(self) -> int:
        return self.now

    def worker(self, channels: dict[str, Channel] | None = None, budget: Budget | None = None) -> Worker:
        return Worker(self, channels or {"webhook": Recorder()}, budget)

    async def publish(self, *updates: Update, received: int = 0) -> None:
        batch = UpdateBatch(updates, stored_at=self.now, received=received)
        await self.log.append(UPDATES, 0, [Message(wire.encode(batch))])

    def update(self, *changes: FlagChange, relationship: str = "acct-42") -> Update:
        cause = changes[-1].cause if changes else Cause("i1", 0, self.position)
        return Update(
            tenant="acme",
            relationship=relationship,
            name="Globex",
            owner="eva",
            kind="customer",
            segment="enterprise",
            at=self.now,
            cause=cause,
            ri=71.5,
            rv=40.0,
            band="yellow",
            changes=changes,
        )

    def change(self, raised: bool = True, severity: Severity = Severity.WARNING, **fields: Any) -> FlagChange:
        """The next verdict of the log."""
        self.position += 1
        return FlagChange(
            rule=fields.pop("rule", "usage_drop"),
            subject=fields.pop("subject", ""),
            raised=raised,
            moment=self.now,
            cause=Cause("i1", 0, self.position),
            severity=severity,
            reason=f"reason {self.position}",
            numbers={"seen": 12.0, "expected": 60.0},
            evidence=Evidence(events=(f"crm#{self.position}",)),
            **fields,
        )

    def feed(self, kind: str = "alert") -> list[FeedItem]:
        items = [wire.decode(record.value, FeedItem) for record in self.log.records(FEED)]
        return [item for item in items if item.kind == kind]

    async def outbox(self, alert: str = FINGERPRINT) -> list[Delivery]:
        return await self.store.deliveries("acme", alert)


class Worker:
    """A process of the alerts service. With a budget, its store and publisher stop in the middle."""

    def __init__(self, desk: Desk, channels: dict[str, Channel], budget: Budget | None) -> None:
        playbook = builtin_playbook()
        store: Any = CrashAt(desk.store, budget) if budget else desk.store
        publisher: Any = CrashAt(desk.log.publisher(), budget) if budget else desk.log.publisher()
        self.metrics = Metrics("alerts")
        self.pauses: list[float] = []
        self.paused: Callable[[], None] = lambda: None  # called after each
        self.settlement = PendingPublisher(store, publisher, playbook, channels.keys(), self.metrics, desk.clock)
        self.processor = AlertProcessor(
            store, publisher, self.settlement, playbook, self.metrics, desk.clock, self._pause
        )
        self.sweep = Sweep(store, self.settlement, self.metrics, desk.clock)
        self.outbox = OutboxWorker(store, channels, self.metrics, desk.clock, self.settlement.woken)
        self.member: MemoryMember = desk.log.member(UPDATES, self.processor, "alerts")

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.paused()

    async def drain(self) -> None:
        await self.member.drain()

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0
