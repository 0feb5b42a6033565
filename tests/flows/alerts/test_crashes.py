"""Killed before or after any call to the store or the broker: afterwards exactly one alert, one delivery a notice."""

from __future__ import annotations

import asyncio

import pytest

from shared import wire
from shared.domain.alerts.alert import Alert
from shared.domain.alerts.lifecycle import acknowledge
from shared.domain.errors import Unavailable
from shared.domain.relationship.flags import FlagChange, Severity
from shared.stream.feed import publish_alert
from shared.stream.topics import ALERTS
from tests.eventually import eventually
from tests.flows.alerts.desk import FINGERPRINT, Budget, Crashed, Desk

SEEN_THROUGH = 2_001  # ms after which the sweep takes an alert up


def open_only(desk: Desk) -> list[FlagChange]:
    return [desk.change()]


def whole_life(desk: Desk) -> list[FlagChange]:
    return [desk.change(), desk.change(severity=Severity.CRITICAL), desk.change(raised=False), desk.change()]


SCRIPTS = {
    "open": (open_only, ["1/opened.1"]),
    "whole life": (whole_life, ["1/cleared.3", "1/escalated.2", "1/opened.1", "2/reopened.4"]),
}


async def crash_after(desk: Desk, calls: int) -> bool:
    """Run a worker that is killed after so many halves of calls; whether it got to the end."""
    worker = desk.worker(budget=Budget(calls))
    try:
        await worker.drain()
    except Crashed:
        await worker.member.kill()
        return False
    await worker.member.kill()
    return True


async def delivered(desk: Desk) -> list[str]:
    """`episode/what.version` of everything in the outbox, which holds each id once."""
    return sorted(
        delivery.id.removeprefix(FINGERPRINT + "/").removesuffix("/webhook") for delivery in await desk.outbox()
    )


async def check(desk: Desk, version: int, notices: list[str]) -> Alert:
    alert = await desk.store.alert("acme", FINGERPRINT)
    assert alert is not None
    assert alert.version == alert.published_version == version
    assert await delivered(desk) == notices
    assert max(item.version for item in desk.feed()) == version
    assert wire.decode(desk.log.records(ALERTS)[-1].value, Alert).version == version
    assert len(await desk.store.episodes("acme", FINGERPRINT)) == alert.episode - 1
    return alert


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("one_batch", [True, False])
async def test_a_crash_anywhere_loses_nothing_and_doubles_nothing(name: str, one_batch: bool) -> None:
    script, notices = SCRIPTS[name]
    calls, done = 0, False
    while not done:
        desk = Desk()
        changes = script(desk)
        for update in [desk.update(*changes)] if one_batch else [desk.update(change) for change in changes]:
            await desk.publish(update)
        done = await crash_after(desk, calls)
        await desk.worker().drain()
        await check(desk, len(changes), notices)
        calls += 1
    assert calls > 10  # there were that many places to be killed at


async def test_crashing_again_and_again_gets_there() -> None:
    desk = Desk()
    changes = whole_life(desk)
    await desk.publish(desk.update(*changes))
    calls = 1
    while not await crash_after(desk, calls):
        calls += 1
    await check(desk, 4, SCRIPTS["whole life"][1])


async def test_a_person_acts_between_the_crash_and_the_return() -> None:
    calls, done, acted = 0, False, 0
    while not done:
        desk = Desk()
        await desk.publish(desk.update(desk.change()))
        done = await crash_after(desk, calls)
        acted += await somebody_acknowledges(desk)
        await desk.worker().drain()
        alert = await desk.store.alert("acme", FINGERPRINT)
        assert alert is not None
        await check(desk, alert.version, ["1/opened.1"])
        calls += 1
    assert acted > 5


async def test_when_the_log_is_gone_too_the_sweep_closes_the_gap() -> None:
    for acts in (False, True):
        calls, done = 0, False
        while not done:
            desk = Desk()
            await desk.publish(desk.update(desk.change()))
            done = await crash_after(desk, calls)
            if acts:
                await somebody_acknowledges(desk)
            alert = await desk.store.alert("acme", FINGERPRINT)
            desk.now += SEEN_THROUGH
            await desk.worker().sweep.turn()
            if alert is not None:
                await check(desk, alert.version, ["1/opened.1"])
            calls += 1


async def somebody_acknowledges(desk: Desk) -> bool:
    """Through the API, which stores and publishes."""
    alert = await desk.store.alert("acme", FINGERPRINT)
    if alert is None:
        return False
    taken = acknowledge(alert, "eva", desk.now)
    await desk.store.put_alert(taken, alert.version)
    await publish_alert(desk.log.publisher(), desk.store, taken)
    return True


async def test_the_sweep_republishes_what_the_api_could_not() -> None:
    desk = Desk()
    worker = desk.worker()
    await desk.publish(desk.update(desk.change()))
    await worker.drain()
    alert = await desk.store.alert("acme", FINGERPRINT)
    assert alert is not None
    await desk.store.put_alert(acknowledge(alert, "eva", desk.now), 1)  # and then it died
    assert await worker.sweep.turn() == 0  # its maker may be about to
    desk.now += SEEN_THROUGH
    assert await worker.sweep.turn() == 1
    await check(desk, 2, ["1/opened.1"])
    assert await worker.sweep.turn() == 0
    assert worker.value("rapport_open_alerts", severity="warning") == 1
    assert worker.value("rapport_outbox_pending_deliveries") == 1
    assert worker.value("rapport_outbox_oldest_age_seconds") == 2.001


async def test_the_sweep_outlives_an_outage() -> None:
    desk = Desk()
    worker = desk.worker()
    await desk.publish(desk.update(desk.change()))
    await worker.drain()
    counts, left = desk.store.open_counts, [Unavailable("gone")]

    async def sometimes() -> dict[str, int]:
        if left:
            raise left.pop()
        return await counts()

    desk.store.open_counts = sometimes  # type: ignore[method-assign]
    worker.sweep.every = 0.01
    task = asyncio.create_task(worker.sweep.run())
    await eventually(lambda: worker.value("rapport_open_alerts", severity="warning") == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert worker.value("rapport_store_errors_total", operation="sweep") == 1
