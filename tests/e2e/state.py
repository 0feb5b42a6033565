"""Everything that scoring and alerts have stored, without what depends on who stored it when; and where two differ."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from shared.domain.alerts.alert import Alert
from shared.domain.columns.id_chunks import unpack
from shared.domain.columns.months import USE, Month, cells_of
from shared.domain.contract.days import day_name
from shared.domain.relationship.fence import Fenced
from shared.storage.store import AlertQuery, DedupChunk, Store
from tests.e2e.cluster import PARTITIONS
from tests.e2e.traffic import SOURCE, Picture

PAGE = 500
FIRST_MONTH = "1970-01"
FENCE = ("incarnation", "partition", "position")
Fields = dict[str, Any]


class State(msgspec.Struct):
    """Documents by id as plain fields; `ids` are the event ids remembered, by relationship."""

    states: dict[str, Fields]
    months: dict[str, Fields]
    timeline: dict[str, Fields]
    ids: dict[str, Fields]
    partitions: dict[str, Fields]
    alerts: dict[str, Fields]


async def state_of(store: Store, tenant: str) -> State:
    """What the store holds of this tenant."""
    states = [state async for state in _heads(store)]
    ids = [state.id for state in states]
    timeline = [entry for state in states for entry in await store.whole_timeline(tenant, state.relationship)]
    partitions = [await store.partition_state(number) for number in range(PARTITIONS)]
    return State(
        states=_plain(states),
        months=_plain(await store.months(ids, FIRST_MONTH)),
        timeline=_plain(timeline),
        ids=_remembered(await store.dedup_chunks(ids, 0)),
        partitions=_plain(one for one in partitions if one is not None),
        alerts={alert.id: await _alert(alert, store) for alert in await _alerts(store, tenant)},
    )


def differences(found: State, expected: State) -> list[str]:
    """In words, field by field, where they are not the same."""
    published = []
    for kind in State.__struct_fields__:
        one, other = getattr(found, kind), getattr(expected, kind)
        for id in sorted(one.keys() | other.keys()):
            if id not in one or id not in other:
                published.append(f"{kind} {id}: {'missing' if id not in one else 'not expected'}")
                continue
            for name in sorted(one[id].keys() | other[id].keys()):
                was, should = one[id].get(name), other[id].get(name)
                if was != should:
                    published.append(f"{kind} {id}: {name} is {_difference(was, should)}")
    return published


async def picture_in(store: Store, tenant: str) -> Picture:
    """What the traffic has left in the store, as its plan tells it."""
    uses: dict[str, dict[tuple[str, str, str], float]] = defaultdict(dict)
    entries: dict[str, Counter[str]] = {}
    states = [state async for state in _heads(store)]
    for month in await store.months([state.id for state in states], FIRST_MONTH):
        for cell in cells_of(month):
            if cell.metric.startswith(USE) and cell.count:
                place = (cell.metric.removeprefix(USE), cell.person, day_name(cell.day))
                uses[month.relationship][place] = cell.count
    for state in states:
        timeline = await store.whole_timeline(tenant, state.relationship)
        entries[state.relationship] = Counter(one.event for one in timeline if one.event.startswith(f"{SOURCE}#"))
    alerts = {alert.id: tuple(entry.what for entry in alert.timeline) for alert in await _alerts(store, tenant)}
    return Picture(dict(uses), entries, alerts)


async def _heads(store: Store) -> Any:
    for number in range(PARTITIONS):
        after = ""
        while states := await store.states_of_partition(number, after, PAGE):
            for state in states:
                yield state
            after = states[-1].id


async def _alerts(store: Store, tenant: str) -> list[Alert]:
    """Current alerts and closed episodes."""
    current: list[Alert] = []
    cursor = None
    while True:
        page = await store.list_alerts(tenant, AlertQuery(limit=100, cursor=cursor))
        current += page.items
        cursor = page.next
        if cursor is None:
            break
    closed = [one for alert in current if alert.episode > 1 for one in await store.episodes(tenant, alert.id)]
    return [*current, *(msgspec.structs.replace(one, id=f"{one.id}/{one.episode}") for one in closed)]


def _plain(documents: Iterable[Fenced]) -> dict[str, Fields]:
    return {one.id: _fields(one) for one in documents}


def _fields(document: Fenced) -> Fields:
    """Its fields; of a month what was counted and recorded, however it is laid out."""
    fields: Fields = {
        name: msgspec.to_builtins(getattr(document, name))
        for name in document.__struct_fields__
        if name not in ("rev", "writer")
    }
    if isinstance(document, Month):
        fields = {name: fields[name] for name in (*FENCE, "scores")}
        for cell in cells_of(document):
            if cell.count:
                fields[f"{cell.metric} {cell.person} {day_name(cell.day)}"] = cell.count
    return fields


def _remembered(chunks: Iterable[DedupChunk]) -> dict[str, Fields]:
    """The ids that each relationship remembers, with the place they were first seen at; however they are parted."""
    found: dict[str, Fields] = defaultdict(dict)
    for chunk in chunks:
        places = found[f"{chunk.tenant}/{chunk.relationship}"]
        for hash, position in _places(chunk):
            places.setdefault(f"{hash} of {chunk.incarnation}", set()).add(position)
    return dict(found)


def _places(chunk: Any) -> Iterator[tuple[int, int]]:
    """Hashes of ids and their positions."""
    for part, packed in chunk.parts.items():
        hashes, positions = unpack(part, packed)
        yield from zip(hashes.tolist(), positions.tolist(), strict=True)


async def _alert(alert: Alert, store: Store) -> Fields:
    """What a verdict makes of an alert, and which messages it owes; not when the alerts service got to it, and how the
    news came batched."""
    fields: Fields = msgspec.to_builtins(alert)
    for name in ("opened_at", "updated_at", "resolved_at", "received", "published_version"):
        fields.pop(name, None)
    fields["lags"] = alert.published_version < alert.version
    fields["deliveries"] = sorted(one.id for one in await store.deliveries(alert.tenant, alert.id))
    fields["timeline"] = [(entry.what, entry.who, entry.text, entry.version) for entry in alert.timeline]
    return fields


def _difference(was: Any, should: Any) -> str:
    """Down to what differs inside of maps."""
    if isinstance(was, dict) and isinstance(should, dict):
        inner = [name for name in was.keys() | should.keys() if was.get(name) != should.get(name)]
        shown = sorted(inner, key=str)[:3]
        parts = [f"{name}: {_difference(was.get(name), should.get(name))}" for name in shown]
        return "; ".join(parts) + (f"; {len(inner) - 3} more" if len(inner) > 3 else "")
    return f"{was!r:.200} instead of {should!r:.200}"
