"""Traffic whose outcome is known beforehand: every event can be told apart in the final state. And its sender."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from random import Random

import httpx
import msgspec

from shared.domain.contract.days import day_name, day_of, iso
from shared.domain.contract.events import DAY, HOUR, MINUTE, SECOND, Millis
from shared.domain.relationship.flags import fingerprint
from shared.load.outgoing import Outgoing, encode_event

SOURCE = "upstream"
FEATURES = ("reports", "exports", "search")
PERSONS, DAYS = 150, 5  # of usage: 750 uses of a relationship differ from each other in person or day
BATCH = 10
DUPLICATED = 0.05  # of disordered traffic: events sent once more
SHUFFLED = 10 * MINUTE  # so far from its place, at most, an event or its duplicate is sent
LATE, LATEST = 0.1, 30 * DAY  # events that happened long before they are sent, and how long at most
LATEST_ALERT = 5 * DAY  # the same for those that raise an alert: an answer of long ago raises none
RETRACTED = 0.2  # messages taken back, some before they have come; they stay on the timeline, crossed out
SPACING = SECOND // 2  # between the times of two events
LAST_WITHIN = 120.0  # seconds that a sender told to stop tries on with the batch it has begun
LAST = "last"  # the person whose answer, posted after everything else, shows that everything else has been judged


class Sent(msgspec.Struct, frozen=True):
    """One event and what it must leave behind: a use, or an entry on the timeline, and perhaps an alert."""

    event: Outgoing
    use: tuple[str, str, str] | None = None  # feature, person, day
    alert: str = ""
    entry: str = ""  # another event's id: its entry is there even if it has not come itself

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

    def until(self, count: int) -> Plan:
        """As if only the first `count` events had been planned."""
        return Plan(self.events[:count], self.last)


def planned(count: int, tenant: str, relationships: int, today: Millis) -> Plan:
    """The first `count` events of the traffic, the same for the same arguments. `today` is the moment of the plan."""
    events = list(islice(traffic(tenant, relationships, today), count))
    return Plan(events, _last(tenant, relationships, today))


def disordered(count: int, tenant: str, relationships: int, today: Millis, chance: Random) -> Plan:
    """Traffic as it comes from many upstreams: shuffled within ten minutes of event time, 5 % of it twice, a tenth of
    it late by up to 30 days; `count` different events."""
    began = today - 2 * HOUR - count * SPACING  # what was promised is due by `today`
    sent: list[tuple[float, int, Sent]] = []
    for number in range(count):
        nominal = began + number * SPACING
        account, turn = f"account-{number % relationships}", number // relationships
        one = _event(tenant, number, account, turn, nominal)
        if chance.random() < LATE:
            late = chance.randrange(LATEST_ALERT if one.alert else LATEST)
            one = _event(tenant, number, account, turn, nominal - late)
        place = nominal + chance.randrange(SHUFFLED)
        sent.append((place, number, one))
        if chance.random() < DUPLICATED:
            sent.append((place + chance.randrange(SHUFFLED), number, one))
        if one.use is None and not one.alert and chance.random() < RETRACTED:
            sent.append((nominal + chance.randrange(SHUFFLED), number, _retraction(account, one, nominal)))
    sent.sort(key=lambda entry: entry[:2])
    return Plan([one for _, _, one in sent], _last(tenant, relationships, today))


def _last(tenant: str, relationships: int, today: Millis) -> list[Sent]:
    accounts = [f"account-{number}" for number in range(relationships)]
    return [_answer(tenant, id, LAST, f"{id}/{LAST}", today - HOUR) for id in accounts]


def traffic(tenant: str, relationships: int, today: Millis) -> Iterator[Sent]:
    """Endless, the same for the same arguments: usage, messages, answers of detractors, and promises broken."""
    number = 0
    while True:
        turn = number // relationships
        yield _event(
            tenant, number, f"account-{number % relationships}", turn, today - (1 + turn // PERSONS % DAYS) * DAY
        )
        number += 1


def picture_of(sent: Sequence[Sent]) -> Picture:
    """What these events leave behind when each counts exactly once."""
    uses: dict[str, dict[tuple[str, str, str], float]] = defaultdict(lambda: defaultdict(float))
    entries: dict[str, Counter[str]] = defaultdict(Counter)
    alerts: dict[str, tuple[str, ...]] = {}
    for one in {one.event.id: one for one in sent}.values():
        if one.use is not None:
            uses[one.relationship][one.use] += 1
        else:
            entries[one.relationship][f"{SOURCE}#{one.entry or one.event.id}"] = 1
        if one.alert:
            alerts[one.alert] = ("opened",)
    return Picture({id: dict(cells) for id, cells in uses.items()}, dict(entries), alerts)


def _event(tenant: str, number: int, account: str, turn: int, at: Millis) -> Sent:
    """The `turn`-th event of an account."""
    id = f"{account}/{number}"
    phase = turn + 7 * int(account.rpartition("-")[2])  # else all accounts would have their alerts at the same time
    if phase % 50 == 17:
        return _answer(tenant, account, f"person-{number}", id, at)
    if phase % 100 == 33:
        return _promise(tenant, account, f"promise-{number}", id, at)
    if turn % 5 == 4:
        data: dict[str, object] = {"person": f"kim@{account}.example", "channel": "mail"}
        return Sent(_encoded(account, "message.received", id, at, data))
    feature, person = FEATURES[turn % len(FEATURES)], f"person-{turn % PERSONS}"
    event = _encoded(account, "usage.feature_used", id, at, {"feature": feature, "person": person})
    return Sent(event, use=(feature, person, day_name(day_of(at))))


def _answer(tenant: str, account: str, person: str, id: str, at: Millis) -> Sent:
    data = {"instrument": "nps", "score": 2, "person": person}
    alert = fingerprint(tenant, account, "nps_detractor", person)
    return Sent(_encoded(account, "survey.answered", id, at, data), alert=alert)


def _promise(tenant: str, account: str, promise: str, id: str, at: Millis) -> Sent:
    data: dict[str, object] = {"promise": promise, "by": "us", "due": iso(at + HOUR), "text": "Send the report"}
    alert = fingerprint(tenant, account, "expectation_violated", promise)
    return Sent(_encoded(account, "promise.made", id, at, data), alert=alert)


def _retraction(account: str, one: Sent, at: Millis) -> Sent:
    id = f"{one.event.id}/retracted"
    return Sent(_encoded(account, "event.retracted", id, at, {"id": one.event.id}), entry=one.event.id)


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
        self._until = 0.0
        self.accepted = 0
        self.repeated = 0

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._until = time.monotonic() + LAST_WITHIN
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
            if self._stop.is_set():
                return
            batch = self._events[start : start + self._batch]
            body = b"[" + b",".join(one.event.raw for one in batch) + b"]"
            while not self._taken(client, body):  # even when told to stop: some of it may be in the log already
                self.repeated += 1
                if self._stop.is_set() and time.monotonic() > self._until:
                    raise AssertionError("ingest does not take the last batch")
                time.sleep(0.05)
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
