"""The desk: one reading shared by all pages of a tenant, kept fresh by the feed, at most two broadcasts a second."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from services.api.web.desk import Changes, Desk, Desks
from shared.domain.alerts.alert import AlertState
from shared.domain.alerts.present import alert_json
from shared.domain.errors import Unavailable
from shared.domain.relationship.flags import Cause, Update
from shared.domain.relationship.state import RelationshipState
from shared.storage.store import Page, RelationshipQuery
from shared.stream.feed import publish_scores
from tests.eventually import eventually
from tests.flows.api_world import ACME, GLOBEX, World, a_head, a_world, an_alert, put_alert, put_head, raise_alert


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as world:
        yield world


@pytest.fixture
async def desk(world: World) -> AsyncIterator[Desk]:
    desks = Desks(world.deps)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(desks.run())
        await asyncio.sleep(0)
        yield desks.of(ACME)
        running.cancel()


def unpacked(raw: bytes) -> Any:
    return msgspec.json.decode(gzip.decompress(raw))


async def first_told(told: list[Changes], wanted: Callable[[Changes], object]) -> Changes:
    """The first broadcast that is wanted, as soon as it has been told."""
    await eventually(lambda: any(wanted(one) for one in told))
    return next(one for one in told if wanted(one))


def score(id: str) -> Update:
    return Update(ACME, id, id, "", "customer", "", 5, Cause("i1", 0, 8))


async def test_rows_and_alerts_are_those_of_the_tenant(world: World, desk: Desk) -> None:
    await put_head(world.store, a_head(ACME, "one"))
    await put_head(world.store, a_head(GLOBEX, "two"))
    await put_alert(world, an_alert(ACME, "one"))
    await put_alert(world, an_alert(GLOBEX, "two"))
    rows, alerts = unpacked(await desk.portfolio())["rows"], unpacked(await desk.inbox())["alerts"]
    assert [row[0] for row in rows] == ["one"]
    assert [alert["relationship"] for alert in alerts] == ["one"]
    assert desk.open_alerts == 1


async def test_the_first_thousand_are_there_at_once_and_the_others_follow(
    world: World, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Changes] = []
    desk.watch(told.append)
    for number in range(1_003):
        await put_head(world.store, a_head(ACME, f"acct-{number}", index=float(number % 90)))
    seen = asyncio.Event()
    read = world.store.list_relationships

    async def slowly(tenant: str, query: RelationshipQuery) -> Page[RelationshipState]:
        if query.cursor is not None:
            await seen.wait()
        return await read(tenant, query)

    monkeypatch.setattr(world.store, "list_relationships", slowly)
    first = unpacked(await desk.portfolio())
    seen.set()
    assert (len(first["rows"]), first["more"]) == (1_000, True)
    assert [row[6] for row in first["rows"]] == sorted(row[6] for row in first["rows"])
    packet = (await first_told(told, lambda one: one.rows and not one.rows.more)).rows
    assert packet is not None
    assert packet.seq > first["seq"]
    assert len(first["rows"]) + len(packet.rows) == 1_003
    assert len(unpacked(await desk.portfolio())["rows"]) == 1_003


async def test_a_new_alert_is_told_and_counted(world: World, desk: Desk) -> None:
    await desk.alerts_ready()
    told: list[Changes] = []
    desk.watch(told.append)
    alert = await raise_alert(world, an_alert(ACME, "one"))
    changes = await first_told(told, lambda one: one.alerts)
    assert changes.alerts == changes.fresh == (alert_json(alert),)
    assert changes.open_alerts == 1
    assert changes.relationships == {"one"}


async def test_an_older_version_changes_nothing(world: World, desk: Desk) -> None:
    await desk.alerts_ready()
    newer = alert_json(an_alert(ACME, "one", state=AlertState.ACKNOWLEDGED, version=2))
    desk.alert_changed(newer)
    desk.alert_changed(alert_json(an_alert(ACME, "one")))
    assert unpacked(await desk.inbox())["alerts"] == [newer]


async def test_a_changed_score_brings_the_row_as_it_is_stored(world: World, desk: Desk) -> None:
    await put_head(world.store, a_head(ACME, "one", index=80.0))
    before = unpacked(await desk.portfolio())
    told: list[Changes] = []
    desk.watch(told.append)
    await put_head(world.store, a_head(ACME, "one", index=20.0))
    await publish_scores(world.deps.publisher, [score("one")])
    changes = await first_told(told, lambda one: one.rows)
    assert changes.rows is not None
    assert changes.rows.rows[0][6] == 20.0
    assert changes.rows.seq > before["seq"]
    assert unpacked(await desk.portfolio())["rows"][0][6] == 20.0


async def test_a_burst_is_told_in_few_broadcasts(world: World, desk: Desk) -> None:
    await put_head(world.store, a_head(ACME, "one"))
    await desk.portfolio()
    told: list[Changes] = []
    desk.watch(told.append)
    for _ in range(200):
        await publish_scores(world.deps.publisher, [score("one")])
        await asyncio.sleep(0)
    await eventually(lambda: told)
    await publish_scores(world.deps.publisher, [score("last")])
    await eventually(lambda: any("last" in one.relationships for one in told))
    assert len(told) <= 3


async def test_while_the_store_is_down_pages_are_told_and_nothing_is_forgotten(
    world: World, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put_head(world.store, a_head(ACME, "one", index=80.0))
    await desk.portfolio()
    told: list[Changes] = []
    desk.watch(told.append)

    async def down(ids: object) -> None:
        raise Unavailable("down")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "states", down)
        await publish_scores(world.deps.publisher, [score("one")])
        assert "does not answer" in (await first_told(told, lambda one: one.trouble)).trouble
    changes = await first_told(told, lambda one: one.rows)
    assert changes.trouble == ""


async def test_a_reset_of_the_feed_reads_everything_again(world: World, desk: Desk) -> None:
    assert unpacked(await desk.portfolio())["rows"] == []
    told: list[Changes] = []
    desk.watch(told.append)
    await put_head(world.store, a_head(ACME, "one"))
    reset = world.deps.feed.reset_event("the feed was created anew")
    for subscription in world.deps.feed._everyone():
        subscription.offer(reset)
    await eventually(lambda: any(one.reset for one in told))
    assert len(unpacked(await desk.portfolio())["rows"]) == 1


async def test_whoever_has_left_is_not_told(world: World, desk: Desk) -> None:
    await desk.alerts_ready()
    told: list[Changes] = []
    gone: list[Changes] = []
    desk.watch(told.append)
    desk.watch(gone.append)()
    await raise_alert(world, an_alert(ACME, "one"))
    await eventually(lambda: told)
    assert gone == []


async def test_a_portfolio_that_could_not_be_read_can_be_asked_for_again(
    world: World, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put_head(world.store, a_head(ACME, "one"))

    async def down(tenant: str, query: object) -> None:
        raise Unavailable("down")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "list_relationships", down)
        with pytest.raises(Unavailable):
            await desk.portfolio()
    assert len(unpacked(await desk.portfolio())["rows"]) == 1


async def test_a_defect_ends_the_desks_and_with_them_the_process(world: World) -> None:
    desks = Desks(world.deps)
    running = asyncio.create_task(desks.run())
    await asyncio.sleep(0)
    desk = desks.of(ACME)
    await desk.alerts_ready()

    def broken(changes: Changes) -> None:
        raise ZeroDivisionError

    desk.watch(broken)
    await raise_alert(world, an_alert(ACME, "one"))
    with pytest.raises(ExceptionGroup):
        await asyncio.wait_for(running, 5)


def test_a_desk_needs_the_desks_to_run(world: World) -> None:
    with pytest.raises(RuntimeError, match=r"Desks\.run"):
        Desks(world.deps).of(ACME)
