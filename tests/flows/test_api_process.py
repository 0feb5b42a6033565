"""The API as a process, on the embedded broker and store: readiness, a live event, a resume, stopping."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

import services.api.__main__ as process
from services.api.app import build_app
from services.api.deps import make_deps
from shared.domain.keys import hash_secret
from shared.embedded.ports import LOOPBACK, free_port
from shared.settings import Settings
from shared.storage.open import open_store
from shared.storage.store import ApiKey, Incarnation, Store
from shared.stream.feed import publish_alert
from shared.stream.memory import MemoryLog, MemoryReader
from shared.stream.publisher import KafkaPublisher
from shared.stream.topics import FEED
from tests.eventually import eventually
from tests.flows.api_world import ACME, NOW, SECRET, an_alert, key_of, seeded_store
from tests.flows.sse import listening
from tests.servers import reset_topics

pytestmark = pytest.mark.embedded


@asynccontextmanager
async def api(kafka: str, mongo: str, database: str, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        **os.environ,
        "RAPPORT_KAFKA": kafka,
        "RAPPORT_MONGO": mongo,
        "RAPPORT_DATABASE": database,
        "RAPPORT_API_PORT": str(port),
    }
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.api", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield server
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


async def ready(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as client:

        async def answers() -> bool:
            try:
                return (await client.get("/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        await eventually(answers, within=40)


async def seen(store: Store, publisher: KafkaPublisher, name: str) -> str:
    alert = an_alert(ACME, name)
    await store.put_alert(alert, 0)
    await publish_alert(publisher, store, alert)
    return alert.id


async def test_from_ready_to_stopped(tansu_bootstrap: str, fresh_mongo_url: str, database: str) -> None:
    await reset_topics(tansu_bootstrap, 4)
    store = open_store(Settings(mongo=fresh_mongo_url, database=database))
    publisher = KafkaPublisher(tansu_bootstrap)
    await store.prepare()
    await store.set_incarnation(Incarnation(FEED, "log-1", 1))
    await store.add_key(ApiKey("acme-api", ACME, "api", hash_secret(SECRET), "robot", NOW))
    ports = free_port(), free_port()
    first, second = (f"http://{LOOPBACK}:{port}" for port in ports)
    try:
        async with (
            api(tansu_bootstrap, fresh_mongo_url, database, ports[0]) as server,
            api(tansu_bootstrap, fresh_mongo_url, database, ports[1]),
        ):
            await asyncio.gather(ready(first), ready(second))
            async with listening(first) as sse:
                id = await seen(store, publisher, "a")
                assert (await sse.next())[1]["id"] == id
            await seen(store, publisher, "missed")
            async with listening(second, after=sse.last_id) as again:
                await seen(store, publisher, "live")
                assert [(await again.next())[1]["relationship"] for _ in range(2)] == ["missed", "live"]
            async with httpx.AsyncClient(base_url=first, headers={"Authorization": f"Bearer {key_of(ACME)}"}) as client:
                taken = await client.post(f"/v1/alerts/{id}/acknowledge")
                assert taken.json()["state"] == "acknowledged"
                listed = await client.get("/v1/alerts", params={"state": "acknowledged"})
                assert [item["id"] for item in listed.json()["items"]] == [id]
                problem = await client.get("/v1/nothing")
                assert (problem.status_code, problem.headers["content-type"]) == (404, "application/problem+json")
                page = await client.get("/", follow_redirects=True)
                assert page.status_code == 200
                assert page.headers["content-type"].startswith("text/html")
            async with listening(first) as sse:
                server.send_signal(signal.SIGTERM)
                await sse.to_the_end()
                assert sse.comments[-1].startswith("disconnected: this replica stops")
                async with asyncio.timeout(10):
                    assert await server.wait() == 0
    finally:
        await publisher.close()
        await store.close()


async def test_a_taken_port_is_told_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with api("127.0.0.1:1", "mongodb://127.0.0.1:1", "x", port) as server:
            async with asyncio.timeout(30):
                _, log = await server.communicate()
            assert server.returncode == 1  # it may be free when it starts again
            assert b"set RAPPORT_API_PORT" in log


async def test_a_defect_in_reading_the_feed_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(MemoryReader):
        async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
            raise RuntimeError("a defect")

    log = MemoryLog()
    settings = Settings(_env_file=None)
    deps = make_deps(await seeded_store(), log.publisher(), Broken(log), settings, lambda: NOW)
    monkeypatch.setattr(process, "build_app", lambda deps: build_app(deps, dashboard=False))
    with process.listening(LOOPBACK, 0, "RAPPORT_API_PORT") as listener, pytest.raises(ExceptionGroup) as ended:
        async with asyncio.timeout(10):
            await process.run(deps, listener)
    assert ended.group_contains(RuntimeError, match="a defect")
