"""The metric texts of ingest and of the API after a scripted minute, as Prometheus reads them, compared whole."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from services.ingest.inbox import KEY_HEADER
from shared.domain.contract.events import MINUTE, SECOND
from shared.domain.errors import Unavailable
from shared.domain.relationship.flags import Cause, Update
from shared.storage.store import Incarnation
from shared.stream.feed import publish_scores
from shared.stream.ports import Message
from shared.stream.topics import FEED, INBOX
from tests.eventually import eventually
from tests.flows.api_world import ACME, NOW, a_world, an_alert, raise_alert
from tests.flows.ingest_stage import WRITE_KEY, Stage, event

HERE = Path(__file__).parent


async def shown(client: httpx.AsyncClient) -> list[str]:
    """The lines of /metrics but for those that hold the time of the test."""
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return [line for line in answer.text.splitlines() if "_created" not in line]


async def test_ingest() -> None:
    async with Stage() as stage:
        await stage.post([event(1), event(2), event(2), event(3, specversion="0.3"), "no event"])
        await stage.post(event(4), "application/cloudevents+json")
        await stage.post(b"nonsense")
        await stage.post([event(5)], key="rk_write_nobody_c2VjcmV0LXNlY3JldC1zZWNyZXQ")
        stage.now += 10 * SECOND
        key = ((KEY_HEADER, WRITE_KEY.encode()),)
        for message in (Message(json.dumps(event(6)).encode(), headers=key), Message(b"?")):
            await stage.log.append(INBOX, 0, [message])
        await stage.member.drain()
        stage.now += 10 * SECOND
        stage.broker.after = 0
        assert (await stage.post([event(7), event(8)])).status_code == 503
        stage.broker.after = None
        await store_is_away_for_a_moment(stage)
        stage.now += MINUTE - 20 * SECOND
        assert (await stage.post([event(number) for number in range(7, 20)])).status_code == 202
        assert await shown(stage.client) == (HERE / "ingest_metrics.txt").read_text().splitlines()


async def store_is_away_for_a_moment(stage: Stage) -> None:
    """Just when ingest wants to know which log this is, after the broker was away; then both are back."""
    read = stage.store.incarnation

    async def silent(topic: str) -> Incarnation | None:
        raise Unavailable("the store does not answer")

    stage.store.incarnation = silent  # type: ignore[method-assign]
    try:
        await stage.identity.refresh()
    except Unavailable:
        stage.store.incarnation = read  # type: ignore[method-assign]
    await stage.identity.refresh()


async def test_the_api() -> None:
    async with a_world() as world:
        update = Update(ACME, "a", "A", "ann", "customer", "", NOW, Cause("i", 0, 1), ri=61.0, band="yellow")
        await publish_scores(world.log.publisher(), [update])
        await raise_alert(world, an_alert(ACME, "a"))
        await world.log.append(FEED, 0, [Message(b"not json")])
        await raise_alert(world, an_alert(ACME, "b"))
        await eventually(lambda: world.deps.feed.position == 4)
        assert (await world.acme.get("/v1/alerts")).status_code == 200
        assert (await world.client().get("/v1/alerts")).status_code == 401
        assert await shown(world.client()) == (HERE / "api_metrics.txt").read_text().splitlines()
