"""The connection, what counts as the server not answering, and the few operations everything is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import IndexModel, UpdateOne
from pymongo.errors import BulkWriteError, ConnectionFailure, PyMongoError

from shared.clock import new_id
from shared.domain.errors import Misconfigured, Unavailable
from shared.storage.documents import Document, document, parse
from shared.storage.lookup import Condition, lookup, nested
from shared.storage.mongo.indexes import INDEXES

T = TypeVar("T")

SELECTION_MS = 3_000  # how long to look for a server
CONNECT_MS = 20_000  # also how long a heartbeat may take: when one is late, PyMongo cuts off all that is in flight
SOCKET_MS = 30_000  # how long an answer may take
PING_SECONDS = 2.0
CHUNK = 500  # ids in a query: replies stay far below 48 MB
BULK = 200  # operations in a bulk: NX-27017 answers nobody else meanwhile, not even heartbeats
_EXISTS = 11000


@contextmanager
def answering() -> Iterator[None]:
    """Turn the errors of a server that does not answer into `Unavailable`; all others pass."""
    try:
        yield
    except PyMongoError as error:
        if isinstance(error, ConnectionFailure) or error.timeout or _unacknowledged(error):
            raise Unavailable(f"MongoDB does not answer ({type(error).__name__}: {str(error)[:300]})") from error
        raise


def _unacknowledged(error: PyMongoError) -> bool:
    """Written, but not acknowledged by enough members of the replica set: may be undone, so write again."""
    details = (error.details or {}) if isinstance(error, BulkWriteError) else {}
    return bool(details.get("writeConcernErrors")) and not details.get("writeErrors")


def chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """The items, at most `size` at a time."""
    for at in range(0, len(items), size):
        yield items[at : at + size]


def matching(conditions: Iterable[Condition]) -> Document:
    """The query for these conditions. One value is asked for with $eq, which NX-27017 finds by index."""
    return {c.path: {"$eq": c.values[0]} if len(c.values) == 1 else {"$in": list(c.values)} for c in conditions}


def whole(value: msgspec.Struct) -> Document:
    """The whole document of a value, with what queries compare."""
    found = document(value)
    return {**found, **nested(lookup(found["_id"], found))}


class MongoClient:
    """A connection to one database; every method raises `Unavailable` when the server does not answer."""

    def __init__(self, url: str, database: str, selection_ms: int = SELECTION_MS) -> None:
        """Raises Misconfigured for a connection string that is none."""
        try:
            self._client: Any = AsyncIOMotorClient(
                url,
                serverSelectionTimeoutMS=selection_ms,
                connectTimeoutMS=CONNECT_MS,
                socketTimeoutMS=SOCKET_MS,
                appname="rapport",
            )
        except (PyMongoError, ValueError) as error:  # its text may hold the password
            what = "What names MongoDB (RAPPORT_MONGO) is no connection string: mongodb://HOST:PORT is one."
            raise Misconfigured(what) from error
        try:
            self._db: Any = self._client[database]
        except PyMongoError as error:
            raise Misconfigured(f"RAPPORT_DATABASE cannot be {database!r}: {error}.") from error

    async def prepare(self) -> None:
        """Create indexes where they are missing."""
        with answering():
            for collection, indexes in INDEXES.items():
                await self._db[collection].create_indexes(
                    [IndexModel([(path, 1) for path in keys]) for keys in indexes]
                )

    async def ping(self) -> None:
        """Raises Unavailable unless the server answers within PING_SECONDS."""
        try:
            with answering():
                async with asyncio.timeout(PING_SECONDS):
                    await self._client.admin.command("ping")
        except TimeoutError as error:
            raise Unavailable(f"MongoDB does not answer within {PING_SECONDS:g} s") from error

    async def close(self) -> None:
        self._client.close()

    # --- operations

    async def _find(
        self,
        collection: str,
        query: Document,
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
        only: Sequence[str] = (),
    ) -> list[Document]:
        """Documents, or `only` these fields of them (and `_id`)."""
        fields = dict.fromkeys(only, 1) or None
        cursor = self._db[collection].find(query, fields, sort=list(sort) or None, limit=limit)
        with answering():
            found: list[Document] = await cursor.to_list(None)
        return found

    async def _first(self, collection: str, query: Document, sort: Sequence[tuple[str, int]] = ()) -> Document | None:
        found = await self._find(collection, query, sort, limit=1)
        return found[0] if found else None

    async def _count(self, collection: str, query: Document) -> int:
        with answering():
            return int(await self._db[collection].count_documents(query))

    async def _by_id(self, collection: str, ids: Sequence[str], kind: type[T]) -> dict[str, T]:
        """Documents by id; those that were begun and never written (they have no `q`) are left out."""
        found: dict[str, T] = {}
        for some in chunks(list(dict.fromkeys(ids))):
            for doc in await self._find(collection, {"_id": {"$in": list(some)}}):
                if "q" in doc:
                    found[doc["_id"]] = parse(doc, kind)
        return found

    async def _create(self, collection: str, docs: Sequence[Mapping[str, Any]]) -> None:
        """Insert the documents that are missing, leave the others as they are."""
        for some in chunks(docs, BULK):
            operations = [
                UpdateOne(
                    {"_id": doc["_id"]}, {"$setOnInsert": {k: v for k, v in doc.items() if k != "_id"}}, upsert=True
                )
                for doc in some
            ]
            with answering():
                try:
                    await self._db[collection].bulk_write(operations, ordered=False)
                except BulkWriteError as error:  # two upserts of one id at the same moment: one of them finds it there
                    if any(one["code"] != _EXISTS for one in (error.details or {}).get("writeErrors", [])):
                        raise

    async def _create_one(self, collection: str, value: msgspec.Struct) -> bool:
        """Insert unless it exists; whether it was this call that inserted it."""
        doc = {**whole(value), "mark": new_id()}
        await self._create(collection, [doc])
        return await self._marked(collection, doc)

    async def _replace_one(self, collection: str, value: msgspec.Struct, expected: Document) -> bool:
        """Replace the document if it is as expected; whether it was this call that did."""
        doc = {**whole(value), "mark": new_id()}
        with answering():
            done = await self._db[collection].replace_one({"_id": doc["_id"], **expected}, doc)
        return done.matched_count == 1 or await self._marked(collection, doc)

    async def _marked(self, collection: str, doc: Document) -> bool:
        """Whether the document that is stored carries the mark of this one (an answer may have been lost)."""
        found = await self._first(collection, {"_id": doc["_id"]})
        return found is not None and found.get("mark") == doc["mark"]
