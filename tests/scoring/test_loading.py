"""What a batch needs from the store, where its records lie far apart in time."""

from __future__ import annotations

import pytest

from shared.domain.block import ROW_BYTES
from shared.domain.events import DAY, HOUR
from shared.domain.usage import day_of
from tests.scoring.stage import START, Stage


async def test_an_id_is_known_again_in_a_batch_that_reaches_over_many_days() -> None:
    """A worker that was away for weeks finds the retry of an event, and much later ones, in one fetch."""
    stage = Stage()
    worker = await stage.worker()
    await stage.say("usage.login", id="same")
    await worker.drain()
    await worker.kill()
    await stage.say("usage.login", id="same", received=START + HOUR)
    await stage.say("usage.login", id="other", received=START + 20 * DAY, at=START + 20 * DAY)
    await (await stage.worker("w2")).drain()
    assert await stage.counts() == {
        ("use:login", "", day_of(START)): 1,
        ("use:login", "", day_of(START) + 20): 1,
    }


async def test_a_correction_moves_a_touchpoint_to_a_month_that_is_not_in_memory() -> None:
    stage = Stage()
    worker = await stage.worker()
    long_ago = START - 500 * DAY
    await stage.say("message.received", at=long_ago, person="ana", channel="email")
    key = await stage.say("message.received", person="bob", channel="email")
    await worker.drain()
    await worker.kill()
    time = "2025-01-18T12:00:00Z"
    await stage.say("event.corrected", about=key, replacement={"time": time})
    await (await stage.worker("w2")).drain()
    assert {key: count for key, count in (await stage.counts()).items() if count} == {
        ("in:email", "ana", day_of(long_ago)): 1,
        ("in:email", "bob", day_of(long_ago) + 1): 1,
    }


async def test_a_correction_of_a_touchpoint_in_a_month_that_is_not_in_memory() -> None:
    stage = Stage()
    worker = await stage.worker()
    long_ago = START - 500 * DAY
    key = await stage.say("message.received", at=long_ago, person="ana", channel="email")
    await worker.drain()
    await worker.kill()
    await stage.say("event.retracted", about=key)
    await (await stage.worker("w2")).drain()
    assert {key: count for key, count in (await stage.counts()).items() if count} == {}


async def test_what_is_folded_at_once_may_be_more_than_fits_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scoring.decode.RUN_EVENTS", 10)
    stage = Stage(partitions=2)
    names = [f"acct-{number}" for number in range(200)]
    for name in [*names, *names]:
        await stage.say("usage.login", name)
    worker = await stage.worker(memory=2 * 40 * ROW_BYTES)
    await worker.step()
    assert 0 < stage.metrics.registry.get_sample_value("rapport_resident_relationships") <= 40
    await worker.flush()
    assert [(await stage.head(name)).events for name in names] == [2] * len(names)
    await worker.kill()
