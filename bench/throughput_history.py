"""90 days of history: a few relationships, scored by the engine itself, as stored documents."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from bench.full_path import scoring
from bench.throughput_log import BASE, FEATURES, PERSONS, TENANT, framed, interaction
from bench.throughput_store import NAME, Templates
from shared.clock import new_id
from shared.domain.contract.days import day_of, month_of
from shared.domain.contract.events import DAY, HOUR, MINUTE, Millis
from shared.settings import Settings
from shared.storage.documents import document
from shared.storage.memory import MemoryStore
from shared.storage.store import Incarnation
from shared.stream.frames import clock_message
from shared.stream.memory import MemoryLog
from shared.stream.memory_group import flush_all
from shared.stream.ports import Batch, Record
from shared.stream.topics import INTERACTIONS, UPDATES
from shared.telemetry import Metrics

DAYS = 90
TEMPLATES = 16
EVENTS = 180  # of each: two a day
WAVE = 100  # records a batch
_pack = msgspec.msgpack.Encoder().encode


def history(number: int, rng: np.random.Generator) -> list[Record]:
    """The events of one relationship, in order, a record each. They end an hour before the traffic begins."""
    times = np.sort(rng.integers(BASE - DAYS * DAY, BASE - HOUR, EVENTS)).tolist()
    found = []
    for at, kind in zip(times, rng.random(EVENTS).tolist(), strict=True):
        feature, person = FEATURES[int(rng.integers(len(FEATURES)))], int(rng.integers(PERSONS))
        event = interaction(number, kind, feature, person, 1, f"{int(rng.integers(1 << 62)):016x}", at)
        found.append(framed(event, at, 0))
    return found


def templates(seed: int = 11) -> Templates:
    """Documents of TEMPLATES relationships with history, evaluated at noon: of use, again only after the traffic."""
    rng = np.random.default_rng(seed)
    events = [event for number in range(TEMPLATES) for event in history(number, rng)]
    return asyncio.run(scored(events, TEMPLATES, BASE - 15 * MINUTE, Settings()))


async def scored(
    events: Iterable[Record], relationships: int, last: Millis, settings: Settings, wave: int = WAVE
) -> Templates:
    """What is stored of these events, `wave` of them at a time, when all that is due by `last` has been evaluated.

    The relationships are those called by the first numbers there are.
    """
    received = sorted(events, key=lambda one: (one.timestamp, one.value))
    clock = clock_message(last, "")
    received.append(Record(0, last, None, clock.value, clock.headers))
    records = [msgspec.structs.replace(one, offset=offset) for offset, one in enumerate(received)]
    store, log = MemoryStore(), MemoryLog()
    for topic in (INTERACTIONS, UPDATES):
        await store.set_incarnation(Incarnation(topic, new_id(), 1))
    now = records[0].timestamp
    processor = scoring(store, log.publisher(), Metrics("scoring"), lambda: now, 1, settings=settings)
    await processor.assigned([0])
    for at in range(0, len(records), wave):
        now = records[at].timestamp
        await processor.apply(Batch(INTERACTIONS, 0, records[at : at + wave], len(records)))
        while processor.behind:
            await processor.advance()
        await flush_all(processor)
    return [await _documents(store, number, last) for number in range(relationships)]


async def _documents(store: MemoryStore, number: int, last: Millis) -> dict[str, dict[str, bytes]]:
    """All but the timeline of one relationship, under the name of number 0."""
    key = f"{TENANT}/{NAME.format(number)}"
    months = await store.months([key], month_of(day_of(last) - DAYS - 31))
    stored: dict[str, list[Any]] = {
        "relationships": list((await store.states([key])).values()),
        "months": list(months),
        "dedup": list(await store.dedup_chunks([key], 0)),
    }
    mine, first = NAME.format(number).encode(), NAME.format(0).encode()
    return {
        collection: {one.id[len(key) :]: _pack(document(one)).replace(mine, first) for one in found}
        for collection, found in stored.items()
    }
