"""Ingest as a process, on the embedded broker and store: HTTP, the inbox, stopping, and refusing a wrong log."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from services.ingest.inbox import KEY_HEADER
from shared.domain.contract.events import Interaction
from shared.domain.keys import format_key, hash_secret
from shared.embedded.ports import LOOPBACK, free_port
from shared.settings import Settings
from shared.storage.open import open_store
from shared.storage.store import ApiKey, Incarnation
from shared.stream import frames
from shared.stream.ports import Message
from shared.stream.publisher import KafkaPublisher
from shared.stream.quarantine import Entry, read_quarantine
from shared.stream.reader import KafkaReader
from shared.stream.topics import INBOX, INCARNATION_HEADER, INTERACTIONS
from tests.eventually import eventually
from tests.flows.ingest_stage import SECRET, event
from tests.servers import reset_topics

pytestmark = pytest.mark.embedded
PARTITIONS = 4
KEY = format_key("write", "app", SECRET)


@asynccontextmanager
async def ingest(
    kafka: str, mongo: str, database: str, partitions: int = PARTITIONS
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    port = free_port()
    environment = {
        **os.environ,
        "RAPPORT_KAFKA": kafka,
        "RAPPORT_MONGO": mongo,
        "RAPPORT_DATABASE": database,
        "RAPPORT_PARTITIONS": str(partitions),
        "RAPPORT_INGEST_PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.ingest", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process, f"http://{LOOPBACK}:{port}"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def prepared(kafka: str, mongo: str, database: str) -> None:
    await reset_topics(kafka, PARTITIONS)
    store = open_store(Settings(mongo=mongo, database=database))
    await store.prepare()
    await store.set_incarnation(Incarnation(INTERACTIONS, "log-1", PARTITIONS))
    await store.add_key(ApiKey("app", "acme", "write", hash_secret(SECRET), "app", 0))
    await store.close()


async def interactions(reader: KafkaReader) -> dict[str, tuple[Interaction, bytes]]:
    """Everything on rapport.interactions by event id, with the incarnation it is stamped with."""
    found = {}
    for partition in range(PARTITIONS):
        first, end = await reader.bounds(INTERACTIONS, partition)
        if first < end:
            async for record in reader.read(INTERACTIONS, partition, first, follow=False):
                for event in frames.interactions(frames.read_frame(record.value)):
                    found[event.id] = event, dict(record.headers)[INCARNATION_HEADER]
    return found


async def quarantined(reader: KafkaReader) -> list[Entry]:
    return [entry async for entry in read_quarantine(reader)]


async def test_events_pass_over_http_and_the_inbox_until_it_is_stopped(
    tansu_bootstrap: str, fresh_mongo_url: str, database: str
) -> None:
    await prepared(tansu_bootstrap, fresh_mongo_url, database)
    publisher, reader = KafkaPublisher(tansu_bootstrap), KafkaReader(tansu_bootstrap)
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/cloudevents-batch+json"}
    async with (
        ingest(tansu_bootstrap, fresh_mongo_url, database) as (process, url),
        httpx.AsyncClient(base_url=url) as client,
    ):

        async def ready() -> bool:
            try:
                return (await client.get("/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        await eventually(ready, within=30)
        body = json.dumps([event(number) for number in range(50)] + [event(99, specversion="0.3")])
        answer = await client.post("/v1/events", content=body, headers=headers)
        assert (answer.status_code, answer.json()["accepted"]) == (202, 50)
        too_large = await client.post("/v1/events", content=b" " * 5_000_000, headers=headers)
        assert too_large.status_code == 413

        key = (KEY_HEADER, KEY.encode())
        await publisher.publish(INBOX, 1, [Message(json.dumps(event(60)).encode(), headers=(key,)), Message(b"?")])

        async def handed_on() -> bool:
            return "e-60" in await interactions(reader) and len(await quarantined(reader)) == 2

        await eventually(handed_on, within=30)
        found = await interactions(reader)
        assert found.keys() == {f"e-{number}" for number in [*range(50), 60]}
        assert {(event.tenant, stamp) for event, stamp in found.values()} == {("acme", b"log-1")}
        reasons = {(entry.item.source, entry.item.reason) for entry in await quarantined(reader)}
        assert reasons == {("http", "unsupported_specversion"), ("inbox", "invalid_key")}

        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0, errors.decode()
        assert SECRET not in errors.decode()
    await publisher.close()
    await reader.close()


async def test_another_partition_count_ends_it_saying_what_to_do(
    tansu_bootstrap: str, fresh_mongo_url: str, database: str
) -> None:
    await prepared(tansu_bootstrap, fresh_mongo_url, database)
    async with ingest(tansu_bootstrap, fresh_mongo_url, database, partitions=8) as (process, _):
        _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == os.EX_CONFIG
    assert "has 4 partitions, 8 are configured: set RAPPORT_PARTITIONS" in errors.decode()
