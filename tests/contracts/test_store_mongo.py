"""What only a server can do: not answer, be prepared by several at once, be left with a document just begun."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
)

from shared.domain.errors import Unavailable
from shared.embedded import mongo
from shared.embedded.ports import LOOPBACK, free_port
from shared.settings import Settings
from shared.storage.mongo import MongoStore
from shared.storage.mongo.client import answering
from shared.storage.open import open_store
from shared.storage.store import AlertQuery, Incarnation, RelationshipQuery, Store
from tests.contracts.stored import alert, delivery, entry, head_write
from tests.servers import _Loop, serving

pytestmark = pytest.mark.embedded

CALLS: dict[str, Callable[[Store], Awaitable[object]]] = {
    "prepare": lambda store: store.prepare(),
    "ping": lambda store: store.ping(),
    "states": lambda store: store.states(["acme/r1"]),
    "write": lambda store: store.write([head_write()]),
    "set_incarnation": lambda store: store.set_incarnation(Incarnation("t", "i", 8)),
    "add_touchpoints": lambda store: store.add_touchpoints([entry("s#1")]),
    "purge_dedup": lambda store: store.purge_dedup(0, 5),
    "list_relationships": lambda store: store.list_relationships("acme", RelationshipQuery()),
    "list_alerts": lambda store: store.list_alerts("acme", AlertQuery()),
    "put_alert": lambda store: store.put_alert(alert(), 0),
    "change_alert": lambda store: store.put_alert(alert(), 1),
    "mark_published": lambda store: store.mark_published("acme/r1/silence/", 1),
    "open_counts": lambda store: store.open_counts(),
    "update_delivery": lambda store: store.update_delivery(delivery("a"), 0),
    "key": lambda store: store.key("a"),
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_server_that_is_not_there_is_unavailable(call: str) -> None:
    store = MongoStore(f"mongodb://{LOOPBACK}:{free_port()}", "none", selection_ms=50)
    with pytest.raises(Unavailable, match="MongoDB does not answer"):
        await CALLS[call](store)
    await store.close()


async def test_a_server_that_accepts_and_is_silent_is_unavailable_within_seconds() -> None:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hold, LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    store = MongoStore(f"mongodb://{LOOPBACK}:{port}", "none")
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable, match="MongoDB does not answer"):
            await store.ping()
    await store.close()
    server.close()
    await server.wait_closed()


async def test_a_server_that_went_and_came_back_is_used_again(server_loop: _Loop, tmp_path: Path) -> None:
    launch = mongo.launch(free_port(), tmp_path / "mongo")
    url = f"mongodb://{LOOPBACK}:{launch.argv[launch.argv.index('--port') + 1]}"
    store = MongoStore(url, "rapport")
    with serving(server_loop, launch):
        await store.prepare()
        assert await store.write([head_write(events=1)]) == []
    with pytest.raises(Unavailable):
        await store.write([head_write(base=1, events=2)])
    with serving(server_loop, launch):
        assert await store.write([head_write(base=1, events=2)]) == []
        assert (await store.states(["acme/r1"]))["acme/r1"].events == 2
    await store.close()


UNANSWERED: list[PyMongoError] = [
    AutoReconnect("connection closed"),
    NetworkTimeout("timed out"),
    ExecutionTimeout("operation exceeded time limit", 50),
    BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64, "errmsg": "waiting for replication"}]}),
]
ANSWERED: list[PyMongoError] = [
    OperationFailure("no such command", 59),
    BulkWriteError({"writeErrors": [{"code": 2, "errmsg": "bad value"}], "writeConcernErrors": []}),
]


@pytest.mark.parametrize("error", UNANSWERED, ids=lambda error: type(error).__name__)
def test_what_was_not_answered_or_acknowledged_is_unavailable(error: PyMongoError) -> None:
    with pytest.raises(Unavailable, match=type(error).__name__), answering():
        raise error


@pytest.mark.parametrize("error", ANSWERED, ids=lambda error: type(error).__name__)
def test_other_errors_are_not_swallowed(error: PyMongoError) -> None:
    with pytest.raises(type(error)), answering():
        raise error


async def test_the_secret_in_the_address_is_not_in_the_error() -> None:
    store = MongoStore(f"mongodb://user:s3cret@{LOOPBACK}:{free_port()}", "none", selection_ms=50)
    with pytest.raises(Unavailable) as caught:
        await store.key("a")
    assert "s3cret" not in str(caught.value)
    await store.close()


async def test_several_services_prepare_at_once_and_again(mongo_url: str, database: str) -> None:
    stores = [open_store(Settings(mongo=mongo_url, database=database)) for _ in range(4)]
    await asyncio.gather(*(store.prepare() for store in stores))
    await asyncio.gather(*(store.prepare() for store in stores))
    await stores[0].ping()
    for store in stores:
        await store.close()


async def test_a_document_just_begun_is_seen_by_nobody_and_completed_by_the_next(
    mongo_store: MongoStore, mongo_url: str, database: str
) -> None:
    client = AsyncIOMotorClient(mongo_url)
    for collection, id in (("relationships", "acme/r1"), ("timeline", "acme/r1/s#1"), ("partitions", "7")):
        await client[database][collection].update_one({"_id": id}, {"$setOnInsert": {"rev": 0}}, upsert=True)
    client.close()
    assert await mongo_store.states(["acme/r1"]) == {}
    assert await mongo_store.relationship("acme", "r1") is None
    assert await mongo_store.touchpoints(["acme/r1/s#1"]) == {}
    assert await mongo_store.partition_state(7) is None
    assert (await mongo_store.list_relationships("acme", RelationshipQuery())).items == ()
    assert await mongo_store.write([head_write(events=1)]) == []
    assert (await mongo_store.states(["acme/r1"]))["acme/r1"].rev == 1
    await mongo_store.add_touchpoints([entry("s#1")])
    assert await mongo_store.touchpoints(["acme/r1/s#1"]) == {"acme/r1/s#1": entry("s#1")}
