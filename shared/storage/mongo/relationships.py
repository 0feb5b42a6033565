"""The API's side of relationships, and the walk through a sorted list that alerts share."""

from __future__ import annotations

import re
from typing import TypeVar

from shared.domain.columns.months import Month
from shared.domain.contract.events import relationship_key
from shared.domain.relationship.state import RelationshipState
from shared.domain.relationship.touchpoints import Touchpoint
from shared.storage.documents import Document, parse
from shared.storage.lookup import (
    NEWEST_ENTRY,
    Mark,
    Order,
    needle,
    page_limit,
    read_cursor,
    relationship_conditions,
    relationship_order,
)
from shared.storage.mongo.client import MongoClient, matching
from shared.storage.store import Page, RelationshipQuery

T = TypeVar("T")
Stage = tuple[Document, list[tuple[str, int]]]


def _steps(order: Order, mark: Mark | None) -> list[Stage]:
    """The queries that, one after the other, give what comes after the mark: ties, the rest, those without a value.

    One query with $or would do, but NX-27017 reads the whole collection for it.
    """
    direction = -1 if order.descending else 1
    by_key, by_value = [("q.key", 1)], [(order.path, direction), ("q.key", direction)]
    has = {} if order.floor is None else {"$gte" if order.inclusive else "$gt": order.floor}
    without: list[Stage] = [] if order.floor is None else [(_lacks(order), by_key)]
    if mark is None:
        return [({order.path: has} if has else {}, by_value), *without]
    if mark.value is None:
        return [({**_lacks(order), "q.key": {"$gt": mark.key}}, by_key)]
    ties = {order.path: {"$eq": mark.value}, "q.key": {"$lt" if order.descending else "$gt": mark.key}}
    rest = {**has, "$lt": mark.value} if order.descending else {"$gt": mark.value}
    return [(ties, [("q.key", direction)]), ({order.path: rest}, by_value), *without]


def _lacks(order: Order) -> Document:
    return {order.path: {"$eq": None} if order.inclusive else {"$in": [None, order.floor]}}


class MongoLists(MongoClient):
    """Pages of a collection in an order."""

    async def _page(
        self, collection: str, query: Document, order: Order, cursor: str | None, limit: int, kind: type[T]
    ) -> Page[T]:
        page_limit(limit)
        docs: list[Document] = []
        for more, sort in _steps(order, read_cursor(cursor, order)):
            docs += await self._find(collection, {**query, **more}, sort, limit + 1 - len(docs))
            if len(docs) > limit:
                break
        here = docs[:limit]
        return Page(tuple(parse(doc, kind) for doc in here), order.mark(here[-1]) if len(docs) > limit else None)


class MongoRelationships(MongoLists):
    """Implements `RelationshipStore`."""

    async def list_relationships(self, tenant: str, query: RelationshipQuery) -> Page[RelationshipState]:
        where = matching(relationship_conditions(tenant, query))
        if text := needle(query.text):
            where["q.text"] = {"$regex": f"(?:{re.escape(text)})"}  # the group: NX-27017 takes bare dates for dates
        order = relationship_order(query.sort)
        return await self._page("relationships", where, order, query.cursor, query.limit, RelationshipState)

    async def relationship(self, tenant: str, relationship: str) -> RelationshipState | None:
        id = relationship_key(tenant, relationship)
        return (await self._by_id("relationships", [id], RelationshipState)).get(id)

    async def timeline(self, tenant: str, relationship: str, cursor: str | None, limit: int) -> Page[Touchpoint]:
        where: Document = {"q.of": {"$eq": "=" + relationship_key(tenant, relationship)}}
        return await self._page("timeline", where, NEWEST_ENTRY, cursor, limit, Touchpoint)

    async def month_range(self, tenant: str, relationship: str, first: str, last: str) -> list[Month]:
        where: Document = {"q.of": {"$eq": "=" + relationship_key(tenant, relationship)}}
        where["month"] = {"$gte": first, "$lte": last}
        return [parse(doc, Month) for doc in await self._find("months", where, [("month", 1)])]
