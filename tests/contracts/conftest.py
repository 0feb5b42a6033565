"""The store under test: the same suite runs on the one in memory and on MongoDB's protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from shared.storage.memory import MemoryStore
from shared.storage.mongo import MongoStore
from shared.storage.store import Store


@pytest.fixture
async def mongo_store(mongo_url: str, database: str) -> AsyncIterator[MongoStore]:
    """An empty store. Collections are dropped one by one: NX-27017 knows one database a file, whatever its name."""
    client = AsyncIOMotorClient(mongo_url)
    for name in await client[database].list_collection_names():
        await client[database].drop_collection(name)
    store = MongoStore(mongo_url, database)
    await store.prepare()
    yield store
    await store.close()
    await client.drop_database(database)
    client.close()


@pytest.fixture(params=["memory", pytest.param("mongo", marks=pytest.mark.embedded)])
def store(request: pytest.FixtureRequest) -> Store:
    """Every store in turn."""
    return MemoryStore() if request.param == "memory" else request.getfixturevalue("mongo_store")
