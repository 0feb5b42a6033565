"""Scoring's side: fenced documents, written under a condition on their revision."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from pymongo import UpdateOne

from shared.domain.columns.months import Month
from shared.domain.contract.events import Millis, relationship_key
from shared.domain.relationship.state import RelationshipState
from shared.domain.relationship.touchpoints import Touchpoint
from shared.storage.documents import Document, document, parse
from shared.storage.lookup import log_order, written
from shared.storage.mongo.client import BULK, MongoClient, answering, chunks, whole
from shared.storage.store import NEVER_DUE, DedupChunk, Due, Incarnation, PartitionState, Write

_FEW = 50  # up to so many relationships are asked for one by one, which NX-27017 answers from an index
_LONG_MONTHS = 60  # beyond so many months between first and last, ids are not guessed


class MongoState(MongoClient):
    """Implements `StateStore`."""

    async def incarnation(self, topic: str) -> Incarnation | None:
        found = await self._first("meta", {"_id": topic})
        return parse(found, Incarnation) if found else None

    async def set_incarnation(self, incarnation: Incarnation) -> None:
        with answering():
            await self._db["meta"].update_one({"_id": incarnation.topic}, {"$set": document(incarnation)}, upsert=True)

    async def states(self, ids: Sequence[str]) -> dict[str, RelationshipState]:
        return await self._by_id("relationships", ids, RelationshipState)

    async def months_by_id(self, ids: Sequence[str]) -> dict[str, Month]:
        return await self._by_id("months", ids, Month)

    async def months(self, ids: Sequence[str], since: str) -> list[Month]:
        """By their own ids (the fastest way there is), from `since` to the latest month stored of anybody."""
        latest = await self._first("months", {"month": {"$gte": since}}, [("month", -1)])
        if latest is None:
            return []
        oldest = await self._first("months", {"month": {"$gte": since}}, [("month", 1)])
        names = _months_between(oldest["month"], latest["month"]) if oldest else []
        if len(names) > _LONG_MONTHS:
            docs = [doc for id in ids for doc in await self._find("months", {"q.of": {"$eq": "=" + id}})]
            found = [parse(doc, Month) for doc in docs if doc["month"] >= since]
        else:
            found = list((await self.months_by_id([f"{id}/{name}" for id in ids for name in names])).values())
        return sorted(found, key=lambda month: month.id)

    async def dedup_chunks(self, ids: Sequence[str], newest_after: Millis) -> list[DedupChunk]:
        newer = {"newest": {"$gt": newest_after}}
        docs: list[Document] = []
        if len(ids) <= _FEW:
            for id in ids:
                docs += await self._find("dedup", {"q.of": {"$eq": "=" + id}, **newer})
        else:
            for some in chunks(ids):
                docs += await self._find("dedup", {"q.of": {"$in": ["=" + id for id in some]}, **newer})
        return sorted((parse(doc, DedupChunk) for doc in docs), key=lambda chunk: chunk.id)

    async def touchpoints(self, ids: Sequence[str]) -> dict[str, Touchpoint]:
        return await self._by_id("timeline", ids, Touchpoint)

    async def whole_timeline(self, tenant: str, relationship: str) -> list[Touchpoint]:
        mine = {"$eq": "=" + relationship_key(tenant, relationship)}
        found: list[Touchpoint] = []
        last = "="
        while docs := await self._find("timeline", {"q.of": mine, "q.key": {"$gt": last}}, [("q.key", 1)], 1000):
            found += [parse(doc, Touchpoint) for doc in docs]
            last = docs[-1]["q"]["key"]
        return sorted(found, key=log_order)

    async def add_touchpoints(self, entries: Sequence[Touchpoint]) -> None:
        docs = {entry.id: whole(entry) for entry in entries}
        await self._create("timeline", list(docs.values()))
        for some in chunks(list(docs)):
            # A writer that died between creating a document and filling it leaves an empty one: fill it.
            begun = await self._find("timeline", {"_id": {"$in": list(some)}, "q.tenant": None})
            for empty in begun:
                with answering():
                    await self._db["timeline"].replace_one({"_id": empty["_id"], "rev": 0}, docs[empty["_id"]])

    async def write(self, writes: Sequence[Write]) -> list[str]:
        losers: list[str] = []
        by_collection: dict[str, list[Write]] = {}
        for write in writes:
            by_collection.setdefault(write.collection, []).append(write)
        for collection, mine in by_collection.items():
            await self._create(collection, [{"_id": write.id, "rev": 0} for write in mine if write.base == 0])
            for some in chunks(mine, BULK):
                losers += await self._write_some(collection, some)
        return losers

    async def _write_some(self, collection: str, writes: Sequence[Write]) -> list[str]:
        operations = [UpdateOne({"_id": write.id, "rev": write.base}, {"$set": written(write)}) for write in writes]
        with answering():
            done = await self._db[collection].bulk_write(operations, ordered=False)
        if done.matched_count == len(writes):
            return []
        ids = [write.id for write in writes]
        stored = {
            doc["_id"]: (doc["rev"], doc.get("writer"))
            for doc in await self._find(collection, {"_id": {"$in": ids}}, only=["rev", "writer"])
        }
        return [w.id for w in writes if stored.get(w.id) != (w.base + 1, w.fields["writer"])]

    async def partition_state(self, partition: int) -> PartitionState | None:
        found = await self._first("partitions", {"_id": str(partition)})
        return parse(found, PartitionState) if found and found["rev"] else None

    async def due(self, partition: int, now: Millis, limit: int, after: Due = NEVER_DUE) -> list[Due]:
        same: dict[str, Any] = {"next_due_at": {"$eq": after.at}, "q.key": {"$gt": "=" + after.id}}
        later: dict[str, Any] = {"next_due_at": {"$gt": after.at, "$lte": now}}
        order, fields = [("next_due_at", 1), ("q.key", 1)], ["_id", "next_due_at"]
        found: list[dict[str, Any]] = []
        for which in (same, later) if after.at else (later,):  # two questions: each goes along the index
            if left := limit - len(found):
                query = {"partition": {"$eq": partition}, **which}
                found += await self._find("relationships", query, order, left, fields)
        return [Due(doc["_id"], int(doc["next_due_at"])) for doc in found]

    async def states_of_partition(self, partition: int, after: str, limit: int) -> list[RelationshipState]:
        query = {"partition": {"$eq": partition}, "q.key": {"$gt": "=" + after}}
        return [
            parse(doc, RelationshipState) for doc in await self._find("relationships", query, [("q.key", 1)], limit)
        ]

    async def earliest_due(self, partitions: Sequence[int]) -> dict[int, Millis]:
        earliest: dict[int, Millis] = {}
        for partition in partitions:
            query = {"partition": {"$eq": partition}, "next_due_at": {"$gt": 0}}
            if found := await self._first("relationships", query, [("next_due_at", 1)]):
                earliest[partition] = int(found["next_due_at"])
        return earliest

    async def purge_dedup(self, partition: int, newest_before: Millis) -> int:
        with answering():
            done = await self._db["dedup"].delete_many({"partition": partition, "newest": {"$lt": newest_before}})
        return int(done.deleted_count)


def _months_between(first: str, last: str) -> list[str]:
    """The months from `first` to `last` (YYYY-MM), both included."""
    start, end = date.fromisoformat(first + "-01"), date.fromisoformat(last + "-01")
    numbers = range(start.year * 12 + start.month - 1, end.year * 12 + end.month)
    return [f"{number // 12:04d}-{number % 12 + 1:02d}" for number in numbers]
