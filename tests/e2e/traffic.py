"""Traffic whose outcome is known beforehand: every event can be told apart in the final state. And its sender."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice

import httpx
import msgspec

from shared.domain.events import DAY, HOUR, Millis
from shared.domain.usage import day_name, day_of, iso
from shared.domain.verdicts import Rule, fingerprint
from shared.load.outgoing import Outgoing, encode_event

SOURCE = "upstream"
FEATURES = ("reports", "exports", "search")
PERSONS, DAYS = 150, 5  # of usage: 750 uses of a relationship differ from each other in person or day
BATCH = 10
LAST = "last"  # the person whose answer, posted after everything else, shows that everything else has been judged


class Sent(msgspec.Struct, frozen=True):
    """One event and what it must leave behind: a use, or an entry on the timeline, and perhaps an alert."""

    event: Outgoing
    use: tuple[str, str, str] | None = None  # feature, person, day
    alert: str = ""

    @property
    def relationship(self) -> str:
        return self.event.subject


class Picture(msgspec.Struct, frozen=True):
    """What can be read in the end: uses and timeline entries by relationship, and of each alert its history."""

    uses: dict[str, dict[tuple[str, str, str], float]]
    entries: dict[str, Counter[str]]
    alerts: dict[str, tuple[str, ...]]


class Plan(msgspec.Struct, frozen=True):
    """Events to send, and `last`, one of each relationship to end with: when its alert is there, all that came before
    has been judged, since on one partition order is kept."""

    events: Sequence[Sent]
    last: Sequence[Sent]

    def picture(self) -> Picture:
        """What all of them leave behind when each counts exactly once."""
        return picture_of([*self.events, *self.last])


def planned(count: int, tenant: str, relationships: int, today: Millis) -> Plan:
    """The first `count` events of the traffic, the same for the same arguments. `today` is the moment of the plan."""
    events = list(islice(traffic(tenant, relationships, today), count))
    accounts = [f"account-{number}" for number in range(relationships)]
    return Plan(events, [_answer(tenant, id, LAST, f"{id}/{LAST}", today - HOUR) for id in accounts])


def traffic(tenant: str, relationships: int, today: Millis) -> Iterator[Sent]:
    """Endless, the same for the same arguments: usage, messages, answers of detractors, and promises broken."""
    number = 0
    while True:
        yield _event(tenant, number, f"account-{number % relationships}", number // relationships, today)
        number += 1


def picture_of(sent: Sequence[Sent]) -> Picture:
    """What these events leave behind when each counts exactly once."""
    uses: dict[str, dict[tuple[str, str, str], float]] = defaultdict(lambda: defaultdict(float))
    entries: dict[str, Counter[str]] = defaultdict(Counter)
    alerts: dict[str, tuple[str, ...]] = {}
    for one in sent:
        if one.use is not None:
            uses[one.relationship][one.use] += 1
        else:
            entries[one.relationship][f"{SOURCE}#{one.event.id}"] += 1
        if one.alert:
            alerts[one.alert] = ("opened",)
    return Picture({id: dict(cells) for id, cells in uses.items()}, dict(entries), alerts)


def _event(tenant: str, number: int, account: str, turn: int, today: Millis) -> Sent:
    """The `turn`-th event of an account."""
    at = today - (1 + turn // PERSONS % DAYS) * DAY
    id = f"{account}/{number}"
    phase = turn + 7 * int(account.rpartition("-")[2])  # else all accounts would have their alerts at the same time
    if phase % 50 == 17:
        return _answer(tenant, account, f"person-{number}", id, at)
    if phase % 100 == 33:
        return _promise(tenant, account, f"promise-{number}", id, at)
    if turn % 5 == 4:
        data = {"person": f"kim@{account}.example", "channel": "mail"}
        return Sent(_encoded(account, "message.received", id, at, data))
    feature, person = FEATURES[turn % len(FEATURES)], f"person-{turn % PERSONS}"
    event = _encoded(account, "usage.feature_used", id, at, {"feature": feature, "person": person})
    return Sent(event, use=(feature, person, day_name(day_of(at))))


def _answer(tenant: str, account: str, person: str, id: str, at: Millis) -> Sent:
    data = {"instrument": "nps", "score": 2, "person": person}
    alert = fingerprint(tenant, account, Rule.NPS_DETRACTOR, person)
    return Sent(_encoded(account, "survey.answered", id, at, data), alert=alert)


def _promise(tenant: str, account: str, promise: str, id: str, at: Millis) -> Sent:
    data = {"promise": promise, "by": "us", "due": iso(at + HOUR), "text": "Send the report"}
    alert = fingerprint(tenant, account, Rule.EXPECTATION_VIOLATED, promise)
    return Sent(_encoded(account, "promise.made", id, at, data), alert=alert)


def _encoded(account: str, type: str, id: str, at: Millis, data: dict[str, object]) -> Outgoing:
    return encode_event(line=0, id=id, source=SOURCE, type=type, subject=account, time=at, data=data, backfill=False)


class Sender:
    """Posts events in order on a thread of its own, a batch after another, each until it is answered 202.

    `rate` is in events a second. `accepted` counts those answered 202, `repeated` requests made again.
    """

    def __init__(self, ready: dict[str, str], events: Sequence[Sent], rate: float, batch: int = BATCH) -> None:
        self._url = f"{ready['ingest']}/v1/events"
        self._headers = {
            "authorization": f"Bearer {ready['write_key']}",
            "content-type": "application/cloudevents-batch+json",
        }
        self._events = events
        self._pause = batch / rate
        self._batch = batch
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)
        self._stop = threading.Event()
        self.accepted = 0
        self.repeated = 0

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.check()

    def check(self) -> None:
        """Raise what ended the sender."""
        if self._failure is not None:
            raise self._failure

    def has_sent(self, count: int) -> bool:
        self.check()
        return self.accepted >= count

    def _run(self) -> None:
        try:
            with httpx.Client(trust_env=False, timeout=20.0) as client:
                self._send_all(client)
        except Exception as error:  # noqa: BLE001 - not swallowed: raised by whoever waits for the sender
            self._failure = error

    def _send_all(self, client: httpx.Client) -> None:
        due = time.monotonic()
        for start in range(0, len(self._events), self._batch):
            batch = self._events[start : start + self._batch]
            body = b"[" + b",".join(one.event.raw for one in batch) + b"]"
            while not self._stop.is_set() and not self._taken(client, body):
                self.repeated += 1
                self._stop.wait(0.05)
            if self._stop.is_set():
                return
            self.accepted += len(batch)
            due = max(due + self._pause, time.monotonic() - 1)
            self._stop.wait(max(0.0, due - time.monotonic()))

    def _taken(self, client: httpx.Client, body: bytes) -> bool:
        try:
            answer = client.post(self._url, content=body, headers=self._headers)
        except httpx.TransportError:
            return False
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return False
        if answer.status_code != httpx.codes.ACCEPTED:
            raise AssertionError(f"ingest answered {answer.status_code}: {answer.text[:300]}")
        return True
