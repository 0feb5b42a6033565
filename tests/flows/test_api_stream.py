"""The live stream over a real server: live, resumed, reset, cut off, on two replicas."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn

from services.api.hub import FeedEvent, FeedHub, SlowConsumer, Stopped
from shared.domain.errors import Misconfigured, Unavailable
from shared.domain.relationship.flags import Cause, Update
from shared.storage.store import Incarnation
from shared.stream.feed import publish_scores
from shared.stream.memory import MemoryLog
from shared.stream.ports import Message, Record
from shared.stream.quarantine import read_quarantine
from shared.stream.topics import FEED
from shared.telemetry import Metrics
from tests.eventually import eventually
from tests.flows.api_world import ACME, GLOBEX, NOW, World, a_world, an_alert, raise_alert, seeded_store
from tests.flows.sse import Sse, listening


@asynccontextmanager
async def served(world: World) -> AsyncIterator[str]:
    """The world's application on a loopback port; its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(world.app, log_level="warning", ws="none", lifespan="off", timeout_graceful_shutdown=2)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listener]))
        await eventually(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as found:
        yield found


@pytest.fixture
async def url(world: World) -> AsyncIterator[str]:
    async with served(world) as address:
        yield address


def an_update(tenant: str, relationship: str) -> Update:
    return Update(tenant, relationship, "A", "ann", "customer", "", NOW, Cause("i", 0, 1), ri=61.0, band="yellow")


async def alerts_of(sse: Sse, count: int) -> list[str]:
    return [str((await sse.next())[1]["relationship"]) for _ in range(count)]


# --- over HTTP ---------------------------------------------------------------------------------------------------


async def test_an_alert_and_a_score_are_seen_live_and_only_by_their_tenant(world: World, url: str) -> None:
    async with listening(url) as ours, listening(url, tenant=GLOBEX) as theirs:
        assert ours.response.headers["content-type"].startswith("text/event-stream")
        alert = await raise_alert(world, an_alert(ACME, "a"))
        await publish_scores(world.deps.publisher, [an_update(ACME, "a")])
        await raise_alert(world, an_alert(GLOBEX, "theirs"))
        name, shown = await ours.next()
        assert (name, shown["id"], ours.last_id) == ("alert", alert.id, "f1-0")
        fetched = httpx.Response(200, content=(await world.acme.get("/v1/alerts")).content).json()["items"][0]
        assert shown == fetched
        assert await ours.next() == (
            "score",
            {
                "relationship": "a",
                "name": "A",
                "ri": 61.0,
                "rv": None,
                "band": "yellow",
                "at": "2026-01-01T00:00:00.000Z",
            },
        )
        assert await alerts_of(theirs, 1) == ["theirs"]


async def test_an_action_through_the_api_reaches_the_stream(world: World, url: str) -> None:
    alert = await raise_alert(world, an_alert(ACME, "a"))
    async with listening(url) as sse:
        await world.acme.post(f"/v1/alerts/{alert.id}/acknowledge")
        assert (await sse.next())[1]["state"] == "acknowledged"


async def test_a_new_listener_starts_at_now(world: World, url: str) -> None:
    await raise_alert(world, an_alert(ACME, "before"))
    await eventually(lambda: world.deps.feed.position == 1)
    async with listening(url) as sse:
        assert sse.last_id == "f1-0"
        await raise_alert(world, an_alert(ACME, "after"))
        assert await alerts_of(sse, 1) == ["after"]


async def test_only_the_types_asked_for(world: World, url: str) -> None:
    async with listening(url, types="score") as sse:
        await raise_alert(world, an_alert(ACME, "a"))
        await publish_scores(world.deps.publisher, [an_update(ACME, "a")])
        assert (await sse.next())[0] == "score"
        assert sse.last_id == "f1-1"


async def test_whoever_resumes_on_another_replica_misses_nothing_and_sees_nothing_twice(world: World, url: str) -> None:
    async with listening(url) as sse:
        await raise_alert(world, an_alert(ACME, "seen"))
        assert await alerts_of(sse, 1) == ["seen"]
    for name in ("missed-1", "missed-2"):
        await raise_alert(world, an_alert(ACME, name))
        await raise_alert(world, an_alert(GLOBEX, name))
    async with a_world(world.store, world.log) as second, served(second) as address:
        async with listening(address, after=sse.last_id) as again:
            await raise_alert(world, an_alert(ACME, "live"))
            assert await alerts_of(again, 3) == ["missed-1", "missed-2", "live"]
            assert again.last_id == "f1-5"
        async with listening(url, after="f1--1") as from_the_start:
            assert await alerts_of(from_the_start, 4) == ["seen", "missed-1", "missed-2", "live"]


@pytest.mark.parametrize("after", ["other-0", "f1-99", "nonsense", "f1-"])
async def test_an_id_that_cannot_be_resumed_from_resets_and_goes_on(world: World, url: str, after: str) -> None:
    await raise_alert(world, an_alert(ACME, "before"))
    await eventually(lambda: world.deps.feed.position == 1)
    async with listening(url, after=after) as sse:
        name, data = await sse.next()
        assert (name, list(data), sse.last_id) == ("reset", ["reason"], "f1-0")
        await raise_alert(world, an_alert(ACME, "after"))
        assert await alerts_of(sse, 1) == ["after"]


async def test_a_quiet_stream_has_a_heartbeat(world: World, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.api.routes.stream.HEARTBEAT_SECONDS", 0.02)
    async with listening(url) as sse:
        while sse.comments.count("heartbeat") < 2:
            await sse.line()


async def test_a_listener_is_told_when_the_replica_stops(world: World, url: str) -> None:
    async with listening(url) as sse:
        world.deps.feed.stop()
        await sse.to_the_end()
        assert sse.comments[-1].startswith("disconnected: this replica stops")


async def test_a_listener_that_does_not_read_is_cut_off_and_told_so() -> None:
    async with a_world(queue_limit=5) as world, served(world) as url, listening(url) as sse:
        text = "x" * 200_000  # larger than what the sockets in between hold
        for number in range(60):
            await raise_alert(world, an_alert(ACME, f"a{number}", reason=text))
        await sse.to_the_end()
        assert sse.comments[-1].startswith("disconnected: you read too slowly")
        async with listening(url, after=sse.last_id) as again:  # nothing is lost by it
            seen = int(sse.last_id.rpartition("-")[2]) + 1
            assert await alerts_of(again, 60 - seen) == [f"a{number}" for number in range(seen, 60)]


# --- the hub by itself -------------------------------------------------------------------------------------------


async def take(events: AsyncIterator[FeedEvent], count: int) -> list[str]:
    async with asyncio.timeout(10):
        return [(await anext(events)).id for _ in range(count)]


async def test_a_slow_subscriber_is_cut_off_without_harm_to_the_others() -> None:
    async with a_world(queue_limit=3) as world:
        with world.deps.feed.subscribe(ACME) as slow, world.deps.feed.subscribe(ACME) as quick:
            reading = aiter(quick)
            for number in range(5):
                await raise_alert(world, an_alert(ACME, f"a{number}"))
                assert await take(reading, 1) == [f"f1-{number}"]
            with pytest.raises(SlowConsumer):
                await take(aiter(slow), 1)


async def test_a_feed_created_anew_resets_everybody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.api.hub.INCARNATION_CHECK_SECONDS", 0.01)
    monkeypatch.setattr("services.api.hub.RETRY_SECONDS", 0.01)
    async with a_world(world.store, world.log) as second:
        with second.deps.feed.subscribe(ACME) as events:
            await raise_alert(world, an_alert(ACME, "a"))
            reading = aiter(events)
            assert await take(reading, 1) == ["f1-0"]
            await world.store.set_incarnation(Incarnation(FEED, "f2", 1))
            async with asyncio.timeout(10):
                reset = await anext(reading)
            assert (reset.type, reset.id) == ("reset", "f2-0")
            await eventually(lambda: second.deps.feed.ready)
            await raise_alert(world, an_alert(ACME, "b"))
            assert await take(reading, 1) == ["f2-1"]


async def test_after_an_outage_of_the_log_the_tail_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.api.hub.RETRY_SECONDS", 0.01)
    log = MemoryLog()
    reader = log.reader()
    whole, failures = reader.read, iter([2, 4])

    async def failing(topic: str, partition: int, offset: int, *, follow: bool) -> AsyncIterator[Record]:
        until = next(failures, None)
        async for record in whole(topic, partition, offset, follow=follow):
            if record.offset == until:
                raise Unavailable("the broker went away")
            yield record

    monkeypatch.setattr(reader, "read", failing)
    monkeypatch.setattr(log, "reader", lambda: reader)
    async with a_world(log=log) as world:
        with world.deps.feed.subscribe(ACME) as events:
            for number in range(6):
                await raise_alert(world, an_alert(ACME, f"a{number}"))
            assert await take(aiter(events), 6) == [f"f1-{number}" for number in range(6)]


async def test_without_an_incarnation_the_feed_waits_and_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.api.hub.RETRY_SECONDS", 0.01)
    store, log = await seeded_store(), MemoryLog()
    store._docs["meta"].clear()
    hub = FeedHub(store, log.reader(), log.publisher(), Metrics("test"))
    running = asyncio.create_task(hub.run())
    await asyncio.sleep(0)
    assert not hub.ready
    await store.set_incarnation(Incarnation(FEED, "late", 1))
    await eventually(lambda: hub.ready)
    assert hub.last_id == "late--1"
    running.cancel()


async def test_resuming_joins_the_tail_without_gap_or_double_whatever_the_pace(world: World) -> None:
    """Many subscribers resume at different points while records keep coming."""
    hub, total = world.deps.feed, 120

    async def write() -> None:
        for number in range(total):
            await raise_alert(world, an_alert(ACME, f"a{number}"))

    async def read(start: int) -> list[str]:
        with hub.subscribe(ACME, after=f"f1-{start - 1}") as events:
            return await take(aiter(events), total - start)

    await raise_alert(world, an_alert(GLOBEX, "first"))
    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        readers = []
        for start in range(1, 60, 7):
            await eventually(lambda start=start: hub.position > start, every=0)
            readers.append((start, group.create_task(read(start))))
    for start, task in readers:
        assert task.result()[: total - start] == [f"f1-{offset}" for offset in range(start, total)]


async def test_whoever_is_too_far_behind_starts_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.api.hub.RESUME_LIMIT", 2)
    for number in range(4):
        await raise_alert(world, an_alert(ACME, f"a{number}"))
    await eventually(lambda: world.deps.feed.position == 4)
    with world.deps.feed.subscribe(ACME, after="f1-1") as near, world.deps.feed.subscribe(ACME, after="f1-0") as far:
        assert await take(aiter(near), 2) == ["f1-2", "f1-3"]
        assert (await anext(aiter(far))).type == "reset"


async def test_records_that_vanish_while_they_are_read_reset(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def vanished(topic: str, partition: int, offset: int, *, follow: bool) -> AsyncIterator[Record]:
        raise Misconfigured("offset 0 lies before the first one")
        yield

    await raise_alert(world, an_alert(ACME, "a"))
    await eventually(lambda: world.deps.feed.position == 1)
    monkeypatch.setattr(world.deps.reader, "read", vanished)
    with world.deps.feed.subscribe(ACME, after="f1--1") as events:
        reading = aiter(events)
        reset = await anext(reading)
        assert (reset.type, reset.id) == ("reset", "f1-0")
        await raise_alert(world, an_alert(ACME, "b"))
        assert await take(reading, 1) == ["f1-1"]


async def test_a_log_that_fails_while_resuming_ends_the_stream_with_a_word(
    world: World, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(topic: str, partition: int) -> tuple[int, int]:
        raise Unavailable("no broker")

    monkeypatch.setattr(world.deps.reader, "bounds", silent)
    async with listening(url, after="f1--1") as sse:
        await sse.to_the_end()
        assert sse.comments[-1].startswith("disconnected: the feed is not readable")
        assert sse.last_id == "f1--1"


async def test_a_record_that_is_no_item_goes_to_quarantine_and_stops_nobody(world: World) -> None:
    with world.deps.feed.subscribe(ACME) as events:
        await raise_alert(world, an_alert(ACME, "a"))
        await world.log.append(FEED, 0, [Message(b"not json")])
        await raise_alert(world, an_alert(ACME, "b"))
        assert await take(aiter(events), 2) == ["f1-0", "f1-2"]
    (entry,) = [entry async for entry in read_quarantine(world.log.reader())]
    assert (entry.item.original, entry.item.origin) == (b"not json", "rapport.feed/0/1")
    with world.deps.feed.subscribe(ACME, after="f1--1") as resumed:
        assert await take(aiter(resumed), 2) == ["f1-0", "f1-2"]


async def test_a_subscriber_that_has_left_is_offered_nothing(world: World) -> None:
    with world.deps.feed.subscribe(ACME) as events:
        pass
    await raise_alert(world, an_alert(ACME, "a"))
    await eventually(lambda: world.deps.feed.position == 1)
    world.deps.feed.stop()
    with world.deps.feed.subscribe(ACME) as late, pytest.raises(Stopped):
        await take(aiter(late), 1)
    assert not events._queue
