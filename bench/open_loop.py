"""Traffic at a rate that does not depend on how it is served: batches leave on schedule, answered or not.

A closed loop waits for answers, and so sends less just when the system is slow (coordinated omission); here what is
late because others were late counts in full, since every time is counted from when a batch was due to leave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter

import httpx
import msgspec

from bench.listening import Key
from shared.clock import now_ms
from shared.domain.contract.events import Millis
from shared.load.outgoing import Outgoing, encode_event
from shared.load.publish import BATCH

BATCHES_PER_S = 10  # as many upstreams' collectors make them, whatever the rate
ALERTS_PER_S = 5
PATIENCE = 120.0  # seconds for an answer; what is not answered by then is a failure, not a figure
CONNECTIONS = 200


class Plan(msgspec.Struct, frozen=True):
    """One rate's traffic: events/s, and how long it is warmed up and measured (seconds)."""

    rate: int
    warm: float
    seconds: float

    def batches(self) -> Iterator[Due]:
        """What leaves when, in order; every other batch (5 of 10 a second) holds an event that raises an alert."""
        size = self.rate // BATCHES_PER_S
        for number in range(round((self.warm + self.seconds) * BATCHES_PER_S)):
            at = number / BATCHES_PER_S
            yield Due(number, at, size, number % (BATCHES_PER_S // ALERTS_PER_S) == 0, at >= self.warm)


class Due(msgspec.Struct, frozen=True):
    """A batch: when it leaves (seconds from the start), its events, whether one raises an alert, and is measured."""

    number: int
    at: float
    events: int
    alerting: bool
    measured: bool


class Sent(msgspec.Struct, frozen=True):
    """What became of a batch. Seconds of perf_counter: due to leave, left, answered; `wall` is `due` as wall ms."""

    batch: Due
    due: float
    left: float
    answered: float
    wall: Millis
    status: int
    alert: Key | None


class Traffic:
    """The events: usage of `relationships` relationships, and among them detractors of relationships of their own."""

    def __init__(self, run: str, relationships: int) -> None:
        self._run = run
        self._relationships = relationships
        self._serial = 0

    def body(self, batch: Due) -> tuple[bytes, Key | None]:
        """The JSON array that is sent, and the alert that comes of it."""
        now = now_ms()
        alert = (f"{self._run}-{batch.number}", "nps_detractor", "") if batch.alerting else None
        events = [self._usage(now) for _ in range(batch.events - batch.alerting)]
        if alert:
            person = f"dana@{alert[0]}.example"
            alert = (*alert[:2], person)
            events.insert(len(events) // 2, self._detractor(alert, now))
        return b"[" + b",".join(events) + b"]", alert

    def _usage(self, now: Millis) -> bytes:
        serial = self._serial
        self._serial += 1
        id = f"acct-{serial * 7919 % self._relationships}"
        data = {"feature": f"feature-{serial % 12}", "person": f"person-{serial % 9}@{id}.example", "quantity": 1}
        return _event(f"{self._run}-{serial}", "usage.feature_used", id, now, data)

    def _detractor(self, alert: Key, now: Millis) -> bytes:
        relationship, _, person = alert
        data = {"instrument": "nps", "score": 2, "person": person}
        return _event(f"{relationship}-answer", "survey.answered", relationship, now, data)


def _event(id: str, type: str, subject: str, now: Millis, data: dict[str, object]) -> bytes:
    return encoded(id, type, subject, now, data).raw


def encoded(id: str, type: str, subject: str, time: Millis, data: dict[str, object]) -> Outgoing:
    """An event of this bench's source."""
    return encode_event(
        line=0, id=id, source="/bench", type=type, subject=subject, time=time, data=data,
        backfill=False,
    )  # fmt: skip


async def send_all(url: str, key: str, plan: Plan, traffic: Traffic) -> list[Sent]:
    """Everything, on schedule; returns when each batch was answered."""
    headers = {"content-type": BATCH, "authorization": f"Bearer {key}"}
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE, limits=limits, headers=headers) as client:
        start, wall = perf_counter(), now_ms()
        tasks = []
        for batch in plan.batches():
            await asyncio.sleep(max(0.0, start + batch.at - perf_counter()))
            body, alert = traffic.body(batch)
            due = (start + batch.at, wall + round(1000 * batch.at))
            tasks.append(asyncio.create_task(_send(client, f"{url}/v1/events", body, alert, batch, *due)))
        return await asyncio.gather(*tasks)


async def _send(
    client: httpx.AsyncClient, url: str, body: bytes, alert: Key | None, batch: Due, due: float, wall: Millis
) -> Sent:
    left = perf_counter()
    answer = await client.post(url, content=body)
    return Sent(batch, due, left, perf_counter(), wall, answer.status_code, alert)
