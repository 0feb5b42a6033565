"""The log of the throughput bench, made from a seed and written once to real Kafka: in frames as ingest writes them for
Rapport, and as one JSON record an event for all others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from time import monotonic

import msgspec
import numpy as np
from aiokafka.admin import AIOKafkaAdminClient
from numpy.typing import NDArray

from bench.peers.fold import Relationship, State, decode
from bench.throughput_falling import Past, past
from services.ingest.gathering import GROUP
from services.ingest.inbox import KEY_HEADER
from shared import wire
from shared.clock import new_id
from shared.domain.contract.events import DAY, HOUR, MINUTE, Interaction, Millis, relationship_key
from shared.domain.contract.moments import rfc3339
from shared.domain.keys import WRITE, format_key
from shared.stream.admin import create_topics, ensure_topics
from shared.stream.frames import events_messages, read_frame
from shared.stream.ports import Message, Record
from shared.stream.publisher import KafkaPublisher
from shared.stream.topics import INCARNATION_HEADER, partition_of

TENANT = "acme"
BASE: Millis = 1_750_077_000_000  # 2025-06-16 12:30 UTC: fixed, so that the same seed makes the same log
SPAN = 4 * HOUR  # in which all is received: four full hours pass, and no quarter of a day, at which all are looked at
FEATURES = (
    *("reports", "search", "export", "dashboard", "billing", "alerts"),
    *("api-keys", "imports", "teams", "comments", "automation", "forecast"),
)
PERSONS = 8  # of a relationship
USED, LOGIN = 0.92, 0.03  # shares of the types; the rest are messages
RETRIES = 0.01  # records that are an earlier event again
RETRY_WITHIN = 5_000  # records later
CHUNK = 50_000
KEY = format_key(WRITE, "bench", "c2VjcmV0LXNlY3JldC1zZWNyZXQ")  # of producers that write to the inbox


class Traffic(msgspec.Struct, frozen=True):
    """What the log is made of. `zipf` 0 is uniform.

    `recent`: share of event times within the last day; `each`: of how many features each person uses some.
    """

    events: int = 1_000_000
    relationships: int = 10_000
    partitions: int = 4
    recent: float = 0.98
    each: int = 3
    days: int = 90
    zipf: float = 0.0
    seed: int = 7


class Log(msgspec.Struct, frozen=True):
    """Where the events are: every row is told of it in JSON."""

    bootstrap: str
    topic: str
    incarnation: str
    events: int
    ends: dict[int, int]
    last: Millis  # receipt of the last one
    counts: dict[int, int]  # events that are measured, by partition
    halves: dict[int, int] = {}  # where the half begins that is measured, where not all is


class Sent(msgspec.Struct, frozen=True, gc=False):
    """One record before it is written."""

    key: bytes
    value: bytes
    received: Millis


def records(traffic: Traffic) -> Iterator[list[Sent]]:
    """The log's records in order, in chunks."""
    rng = np.random.default_rng(traffic.seed)
    weights, begins = _cumulative(traffic), past(traffic.events, traffic.relationships)
    before: list[Sent] = []
    for first in range(0, traffic.events, CHUNK):
        chunk = _chunk(traffic, rng, weights, first, min(CHUNK, traffic.events - first), before)
        chunk[: len(begins)] = [_of_the_past(one, at) for at, one in enumerate(begins[: len(chunk)])]
        begins = begins[len(chunk) :]
        yield chunk
        before = chunk[-RETRY_WITHIN:]


def _cumulative(traffic: Traffic) -> NDArray[np.float64] | None:
    if not traffic.zipf:
        return None
    shares = np.arange(1, traffic.relationships + 1, dtype=np.float64) ** -traffic.zipf
    cumulative: NDArray[np.float64] = np.cumsum(shares) / shares.sum()
    return cumulative


def _chunk(
    traffic: Traffic,
    rng: np.random.Generator,
    weights: NDArray[np.float64] | None,
    first: int,
    size: int,
    before: list[Sent],
) -> list[Sent]:
    if weights is None:
        who = rng.integers(0, traffic.relationships, size)
    else:
        who = np.minimum(np.searchsorted(weights, rng.random(size)), traffic.relationships - 1)
    kind, feature, person = rng.random(size), rng.integers(0, len(FEATURES), size), rng.integers(0, PERSONS, size)
    quantity, mark = rng.integers(1, 6, size), rng.integers(0, 1 << 48, size)
    recent = rng.random(size) < traffic.recent
    age = np.where(recent, rng.integers(0, DAY, size), rng.integers(DAY, traffic.days * DAY, size))
    back = np.where(rng.random(size) < RETRIES, rng.integers(1, RETRY_WITHIN, size), 0)
    made = list(before)
    columns = (column.tolist() for column in (who, kind, feature, person, quantity, mark, age, back))
    for at, (w, k, f, p, q, m, a, b) in enumerate(zip(*columns, strict=True)):
        received = BASE + (first + at) * SPAN // traffic.events
        if 0 < b <= len(made):
            again = made[-b]
            made.append(Sent(again.key, again.value, received))
            continue
        event = interaction(
            w, k, FEATURES[_used(w, p, f % traffic.each)], p, q, f"{first + at:08x}-{m:012x}", received - a
        )
        made.append(Sent(relationship_key(TENANT, event.relationship).encode(), wire.encode(event), received))
    return made[len(before) :]


def _of_the_past(event: Past, at: int) -> Sent:
    """An event from before the traffic, which has come late."""
    who, days_ago, quantity = event
    time = BASE - days_ago * DAY - at % 60 * MINUTE
    made = interaction(who, 0.0 if quantity else 1.0, FEATURES[0], 0, quantity, f"past-{at:08x}", time)
    return Sent(relationship_key(TENANT, made.relationship).encode(), wire.encode(made), BASE)


def _used(who: int, person: int, draw: int) -> int:
    """Which feature: each person uses those that follow on a first one of their own."""
    return (who + 5 * person + draw) % len(FEATURES)


def interaction(who: int, kind: float, feature: str, person: int, quantity: int, id: str, time: Millis) -> Interaction:
    """An event of one of the types there are, chosen by `kind` in [0, 1)."""
    name = f"acct-{who:07d}"
    mail = f"user{person}@{name}.example"
    if kind < USED:
        type, data = "usage.feature_used", f'{{"feature":"{feature}","person":"{mail}","quantity":{quantity},'
    elif kind < USED + LOGIN:
        type, data = "usage.login", f'{{"person":"{mail}",'
    else:
        type, data = "message.received", f'{{"person":"{mail}","channel":"email",'
    raw = msgspec.Raw(f'{data}"session":"{id[::-1]}"}}'.encode())
    return Interaction(TENANT, name, id, "app.acme.example", type, time, raw)


def framed(event: Interaction, received: Millis, offset: int) -> Record:
    """An event in a record of its own."""
    [message] = events_messages([event], "", received)
    return Record(offset, received, None, message.value, message.headers)


Parts = dict[int, list[Message]]
"""Records by partition, in order."""

Parted = Callable[[Sequence[Sent], int, str], Parts]
"""Of events, a count of partitions and an incarnation."""


async def write(bootstrap: str, topic: str, traffic: Traffic, parted: Parted) -> Log:
    """Create the topic and write the events to the partitions that ingest would, at the time of receipt."""
    incarnation = new_id()
    ends, counts = dict.fromkeys(range(traffic.partitions), 0), dict.fromkeys(range(traffic.partitions), 0)
    last = BASE
    await create(bootstrap, topic, traffic.partitions)
    publisher = KafkaPublisher(bootstrap, timeout=30.0)
    try:
        for chunk in records(traffic):
            parts = parted(chunk, traffic.partitions, incarnation)
            await append(publisher, topic, parts)
            for number, part in parts.items():
                ends[number] += len(part)
                counts[number] += events_in(part) if parted is in_frames else len(part)
            last = chunk[-1].received
    finally:
        await publisher.close()
    return Log(bootstrap, topic, incarnation, traffic.events, ends, last, counts)


async def create(bootstrap: str, topic: str, partitions: int) -> None:
    """The topic, and those that scoring writes to."""
    await ensure_topics(bootstrap, partitions)
    await create_topics(bootstrap, {topic: partitions})


def by_partition(chunk: Sequence[Sent], partitions: int, incarnation: str) -> Parts:
    """Records as messages for their partitions, one an event."""
    headers = ((INCARNATION_HEADER, incarnation.encode()),)
    parts: Parts = {}
    for sent in chunk:
        message = Message(sent.value, sent.key, headers, sent.received)
        parts.setdefault(partition_of(sent.key, partitions), []).append(message)
    return parts


def in_inbox(chunk: Sequence[Sent], partitions: int, incarnation: str) -> Parts:
    """Events as systems write them to the inbox: CloudEvents in JSON, with their write key."""
    headers = ((KEY_HEADER, KEY.encode()),)
    parts: Parts = {}
    for sent in chunk:
        event = wire.decode(sent.value, Interaction)
        names = {"specversion": "1.0", "subject": event.relationship, "time": rfc3339(event.time), "data": event.data}
        value = wire.encode(names | {"id": event.id, "source": event.source, "type": event.type})
        number = partition_of(sent.key, partitions)
        parts.setdefault(number, []).append(Message(value, sent.key, headers, sent.received))
    return parts


def in_frames(chunk: Sequence[Sent], partitions: int, incarnation: str, together: int = GROUP) -> Parts:
    """Records as the frames that ingest makes of them, so many at a time."""
    parts: Parts = {}
    for at in range(0, len(chunk), together):
        some = chunk[at : at + together]
        by_home: dict[int, list[Interaction]] = {}
        for sent in some:
            by_home.setdefault(partition_of(sent.key, partitions), []).append(wire.decode(sent.value, Interaction))
        for number, events in by_home.items():
            parts.setdefault(number, []).extend(events_messages(events, incarnation, some[-1].received))
    return parts


def events_in(part: Iterable[Message]) -> int:
    """How many events frames hold."""
    return sum(len(read_frame(message.value)) for message in part)


async def append(publisher: KafkaPublisher, topic: str, parts: Parts) -> None:
    """Append to all partitions at once."""
    await asyncio.gather(*(publisher.publish(topic, number, part) for number, part in parts.items()))


async def until_committed(bootstrap: str, group: str, ends: Mapping[int, int], within: float = 30.0) -> None:
    """Returns when the broker has the group's commit of the whole log; TimeoutError after `within` seconds."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    until = monotonic() + within
    try:
        while True:
            found = await admin.list_consumer_group_offsets(group)
            done = {place.partition: offset.offset for place, offset in found.items()}
            if all(done.get(number, 0) >= end for number, end in ends.items()):
                return
            if monotonic() > until:
                raise TimeoutError(f"{group} has committed {done} of {ends} after {within:g} s")
            await asyncio.sleep(0.01)
    finally:
        await admin.close()


def reference(traffic: Traffic) -> dict[str, State]:
    """The states that the log leads to, by the plain fold over the records themselves."""
    found: dict[str, Relationship] = {}
    for chunk in records(traffic):
        for sent in chunk:
            found.setdefault(sent.key.decode(), Relationship()).add(decode(sent.value), sent.received)
    return {key: (one.score(), one.cells) for key, one in found.items()}
