"""The store in memory: for tests, benches and backtests. It holds the same documents as MongoDB does."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from shared.domain.alerts.alert import Alert, AlertState
from shared.domain.columns.months import Month
from shared.domain.contract.events import Millis, relationship_key
from shared.domain.errors import Conflict
from shared.domain.relationship.flags import Severity
from shared.domain.relationship.state import RelationshipState
from shared.domain.relationship.touchpoints import Touchpoint
from shared.storage.documents import Document, document, parse, value_at
from shared.storage.lookup import (
    NEWEST_ALERT,
    NEWEST_ENTRY,
    Condition,
    Mark,
    Order,
    alert_conditions,
    log_order,
    lookup,
    needle,
    page_limit,
    read_cursor,
    relationship_conditions,
    relationship_order,
    written,
)
from shared.storage.store import (
    NEVER_DUE,
    AlertQuery,
    ApiKey,
    DedupChunk,
    Delivery,
    Due,
    Incarnation,
    Page,
    PartitionState,
    RelationshipQuery,
    Write,
)

T = TypeVar("T")


def _put(found: Document, fields: Document) -> None:
    """Set fields, each at its dotted path, making maps on the way."""
    for dotted, value in fields.items():
        here, name = found, dotted
        while "." in name:
            parent, _, name = name.partition(".")
            here = here.setdefault(parent, {})
        here[name] = value


def _page(docs: Iterable[Document], order: Order, cursor: str | None, limit: int, kind: type[T]) -> Page[T]:
    """One page of these documents in this order, after the cursor."""
    page_limit(limit)
    mark = read_cursor(cursor, order)
    by_key = sorted(docs, key=lambda found: found["q"]["key"])
    ranked = [found for found in by_key if order.value(found) is not None]
    ranked.sort(key=lambda found: (order.value(found), found["q"]["key"]), reverse=order.descending)
    ranked += [found for found in by_key if order.value(found) is None]
    rest = [found for found in ranked if mark is None or _after(found, mark, order)]
    here = rest[:limit]
    return Page(tuple(parse(found, kind) for found in here), order.mark(here[-1]) if len(rest) > limit else None)


def _after(found: Document, mark: Mark, order: Order) -> bool:
    """Whether a document comes after the mark."""
    value, key = order.value(found), found["q"]["key"]
    if value is None or mark.value is None:
        return value is None and (mark.value is not None or key > mark.key)
    here, there = (value, key), (mark.value, mark.key)
    return here < there if order.descending else here > there


class MemoryStore:
    """Implements `Store`; what it returns is a copy, and nothing of it outlives the process."""

    def __init__(self) -> None:
        self._docs: defaultdict[str, dict[str, Document]] = defaultdict(dict)

    def _find(self, collection: str, *conditions: Condition) -> list[Document]:
        docs = self._docs[collection].values()
        return [found for found in docs if all(value_at(found, c.path) in c.values for c in conditions)]

    def _add(self, collection: str, value: msgspec.Struct) -> bool:
        """Insert unless it exists; whether it was inserted."""
        found = document(value)
        if found["_id"] in self._docs[collection]:
            return False
        self._docs[collection][found["_id"]] = found
        _put(found, lookup(found["_id"], found))
        return True

    async def prepare(self) -> None:
        """Nothing to prepare."""

    async def ping(self) -> None:
        """Always there."""

    async def close(self) -> None:
        """Nothing to close."""

    # --- the log and the scoring workers

    async def incarnation(self, topic: str) -> Incarnation | None:
        found = self._docs["meta"].get(topic)
        return parse(found, Incarnation) if found else None

    async def set_incarnation(self, incarnation: Incarnation) -> None:
        self._docs["meta"][incarnation.topic] = document(incarnation)

    def _by_id(self, collection: str, ids: Iterable[str], kind: type[T]) -> dict[str, T]:
        docs = self._docs[collection]
        return {id: parse(docs[id], kind) for id in ids if id in docs}

    async def states(self, ids: Sequence[str]) -> dict[str, RelationshipState]:
        return self._by_id("relationships", ids, RelationshipState)

    async def months(self, ids: Sequence[str], since: str) -> list[Month]:
        docs = self._find("months", Condition("q.of", tuple("=" + id for id in ids)))
        found = [parse(doc, Month) for doc in docs if doc["month"] >= since]
        return sorted(found, key=lambda month: month.id)

    async def months_by_id(self, ids: Sequence[str]) -> dict[str, Month]:
        return self._by_id("months", ids, Month)

    async def dedup_chunks(self, ids: Sequence[str], newest_after: Millis) -> list[DedupChunk]:
        docs = self._find("dedup", Condition("q.of", tuple("=" + id for id in ids)))
        found = [parse(doc, DedupChunk) for doc in docs if doc.get("newest", 0) > newest_after]
        return sorted(found, key=lambda chunk: chunk.id)

    async def touchpoints(self, ids: Sequence[str]) -> dict[str, Touchpoint]:
        return self._by_id("timeline", ids, Touchpoint)

    async def whole_timeline(self, tenant: str, relationship: str) -> list[Touchpoint]:
        docs = self._find("timeline", Condition("q.of", ("=" + relationship_key(tenant, relationship),)))
        found = [parse(doc, Touchpoint) for doc in docs]
        return sorted(found, key=log_order)

    async def add_touchpoints(self, entries: Sequence[Touchpoint]) -> None:
        for entry in entries:
            self._add("timeline", entry)

    async def write(self, writes: Sequence[Write]) -> list[str]:
        return [write.id for write in writes if not self._write(write)]

    def _write(self, write: Write) -> bool:
        docs = self._docs[write.collection]
        found = docs.get(write.id, {"_id": write.id, "rev": 0})
        if found["rev"] != write.base:
            return (found["rev"], found.get("writer")) == (write.base + 1, write.fields["writer"])
        _put(found, written(write))
        docs[write.id] = found
        return True

    async def partition_state(self, partition: int) -> PartitionState | None:
        return self._by_id("partitions", [str(partition)], PartitionState).get(str(partition))

    async def due(self, partition: int, now: Millis, limit: int, after: Due = NEVER_DUE) -> list[Due]:
        docs = self._find("relationships", Condition("partition", (partition,)))
        found = ((doc.get("next_due_at", 0), doc["_id"]) for doc in docs)
        first = heapq.nsmallest(limit, (one for one in found if (after.at, after.id) < one and 0 < one[0] <= now))
        return [Due(id, at) for at, id in first]

    async def states_of_partition(self, partition: int, after: str, limit: int) -> list[RelationshipState]:
        docs = self._find("relationships", Condition("partition", (partition,)))
        found = sorted((doc for doc in docs if doc["_id"] > after), key=lambda doc: doc["_id"])
        return [parse(doc, RelationshipState) for doc in found[:limit]]

    async def earliest_due(self, partitions: Sequence[int]) -> dict[int, Millis]:
        earliest: dict[int, Millis] = {}
        for doc in self._docs["relationships"].values():
            at, partition = doc.get("next_due_at", 0), doc["partition"]
            if at > 0 and partition in partitions:
                earliest[partition] = min(at, earliest.get(partition, at))
        return earliest

    async def purge_dedup(self, partition: int, newest_before: Millis) -> int:
        docs = self._find("dedup", Condition("partition", (partition,)))
        old = [doc["_id"] for doc in docs if doc.get("newest", 0) < newest_before]
        for id in old:
            del self._docs["dedup"][id]
        return len(old)

    # --- relationships

    async def list_relationships(self, tenant: str, query: RelationshipQuery) -> Page[RelationshipState]:
        docs = self._find("relationships", *relationship_conditions(tenant, query))
        text = needle(query.text)
        found = [doc for doc in docs if not text or text in (value_at(doc, "q.text") or "")]
        return _page(found, relationship_order(query.sort), query.cursor, query.limit, RelationshipState)

    async def relationship(self, tenant: str, relationship: str) -> RelationshipState | None:
        id = relationship_key(tenant, relationship)
        return (await self.states([id])).get(id)

    async def timeline(self, tenant: str, relationship: str, cursor: str | None, limit: int) -> Page[Touchpoint]:
        docs = self._find("timeline", Condition("q.of", ("=" + relationship_key(tenant, relationship),)))
        return _page(docs, NEWEST_ENTRY, cursor, limit, Touchpoint)

    async def month_range(self, tenant: str, relationship: str, first: str, last: str) -> list[Month]:
        found = await self.months([relationship_key(tenant, relationship)], first)
        return [month for month in found if month.month <= last]

    # --- alerts

    async def alerts(self, ids: Sequence[str]) -> dict[str, Alert]:
        return self._by_id("alerts", ids, Alert)

    async def alert(self, tenant: str, id: str) -> Alert | None:
        found = (await self.alerts([id])).get(id)
        return found if found and found.tenant == tenant else None

    async def list_alerts(self, tenant: str, query: AlertQuery) -> Page[Alert]:
        docs = self._find("alerts", *alert_conditions(tenant, query))
        return _page(docs, NEWEST_ALERT, query.cursor, query.limit, Alert)

    async def put_alert(self, alert: Alert, expected: int) -> None:
        stored = self._docs["alerts"].get(alert.id)
        if (stored["version"] if stored else 0) != expected:
            raise Conflict(f"alert {alert.id} is not at version {expected}")
        self._docs["alerts"].pop(alert.id, None)
        self._add("alerts", alert)

    async def archive_episode(self, alert: Alert) -> None:
        self._add("episodes", msgspec.structs.replace(alert, id=f"{alert.id}/{alert.episode}"))

    async def episodes(self, tenant: str, id: str) -> list[Alert]:
        found = [parse(doc, Alert) for doc in self._find("episodes", Condition("tenant", (tenant,)))]
        mine = [msgspec.structs.replace(alert, id=id) for alert in found if alert.id == f"{id}/{alert.episode}"]
        return sorted(mine, key=lambda alert: alert.episode)

    async def unpublished(self, limit: int) -> list[Alert]:
        found = [parse(doc, Alert) for doc in self._docs["alerts"].values()]
        lagging = [alert for alert in found if alert.published_version < alert.version]
        return sorted(lagging, key=lambda alert: (alert.updated_at, alert.id))[:limit]

    async def mark_published(self, id: str, version: int) -> None:
        stored = self._docs["alerts"].get(id)
        if stored and stored["published_version"] < version <= stored["version"]:
            stored["published_version"] = version

    async def open_counts(self) -> dict[str, int]:
        counts = {severity.value: 0 for severity in Severity}
        for doc in self._find("alerts", Condition("state", (AlertState.OPEN, AlertState.ACKNOWLEDGED))):
            counts[doc["severity"]] += 1
        return counts

    # --- outbox

    async def add_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._add("outbox", delivery)

    async def due_deliveries(self, now: Millis, limit: int) -> list[Delivery]:
        found = [parse(doc, Delivery) for doc in self._find("outbox", Condition("state", ("pending",)))]
        due = [delivery for delivery in found if delivery.next_attempt_at <= now]
        return sorted(due, key=lambda delivery: (delivery.next_attempt_at, delivery.id))[:limit]

    async def update_delivery(self, delivery: Delivery, expected_attempts: int) -> None:
        stored = self._docs["outbox"].get(delivery.id)
        if stored is None or stored["attempts"] != expected_attempts:
            raise Conflict(f"delivery {delivery.id} has not had {expected_attempts} attempts")
        del self._docs["outbox"][delivery.id]
        self._add("outbox", delivery)

    async def deliveries(self, tenant: str, alert: str) -> list[Delivery]:
        docs = self._find("outbox", Condition("tenant", (tenant,)), Condition("alert", (alert,)))
        return sorted((parse(doc, Delivery) for doc in docs), key=lambda one: (one.created_at, one.id))

    async def outbox_age(self, now: Millis) -> tuple[int, Millis]:
        created = [doc["created_at"] for doc in self._find("outbox", Condition("state", ("pending",)))]
        return (len(created), max(0, now - min(created))) if created else (0, 0)

    # --- keys

    async def key(self, id: str) -> ApiKey | None:
        return self._by_id("keys", [id], ApiKey).get(id)

    async def add_key(self, key: ApiKey) -> None:
        if not self._add("keys", key):
            raise Conflict(f"key {key.id} exists already")

    async def list_keys(self, tenant: str) -> list[ApiKey]:
        found = [parse(doc, ApiKey) for doc in self._find("keys", Condition("tenant", (tenant,)))]
        return sorted(found, key=lambda key: (key.created_at, key.id))

    async def revoke_key(self, tenant: str, id: str, at: Millis) -> bool:
        stored = self._docs["keys"].get(id)
        if stored is None or stored["tenant"] != tenant:
            return False
        stored["revoked_at"] = stored["revoked_at"] or at
        return True
