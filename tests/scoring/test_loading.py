"""What a batch needs from the store, where its records lie far apart in time."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.columns.block import ROW_BYTES
from shared.domain.contract.days import day_of
from shared.domain.contract.events import DAY, HOUR
from shared.storage.memory import MemoryStore
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


def resident(stage: Stage, what: str) -> float:
    value = stage.metrics.registry.get_sample_value(f"rapport_resident_{what}")
    assert value is not None
    return value


async def test_what_is_to_be_folded_may_be_more_than_fits_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scoring.processor.NEW_AT_LEAST", 10)
    stage = Stage(partitions=2)
    names = [f"acct-{number}" for number in range(200)]
    for name in [*names, *names]:
        await stage.say("usage.login", name)
    worker = await stage.worker(memory=2 * 40 * ROW_BYTES)
    while await worker.step():
        assert resident(stage, "relationships") <= 50
    await worker.flush()
    assert [(await stage.state(name)).events for name in names] == [2] * len(names)
    assert 0 < resident(stage, "bytes") <= 40 * ROW_BYTES
    await worker.kill()


async def test_a_full_memory_lets_go_of_what_is_stored_before_it_stores_more() -> None:
    stage = Stage()
    names = [f"acct-{number}" for number in range(100)]
    for name in names:
        await stage.say("usage.login", name)
    store = Counting(stage.store)
    worker = await stage.worker(memory=2 * 40 * ROW_BYTES, store=store)
    await worker.drain()
    store.writes = 0
    for name in names[:20]:  # none of them is in memory any more
        await stage.say("usage.login", name)
        await stage.say("usage.login", names[-1])
        await worker.step()
    assert store.writes == 0
    await worker.flush()
    assert (await stage.state(names[-1])).events == 21
    await worker.revoke()
    assert resident(stage, "relationships") == 0


class Counting:
    """A store that counts what is written."""

    def __init__(self, real: MemoryStore) -> None:
        self._real = real
        self.writes = 0

    def __getattr__(self, name: str) -> Any:
        if name == "write":
            self.writes += 1
        return getattr(self._real, name)


@pytest.mark.parametrize("let_go", [False, True])
async def test_a_touchpoint_that_comes_again_late_brings_no_evaluation(let_go: bool) -> None:
    """Its id is at hand as long as its relationship is, and in no document, on which nothing may depend."""
    stage = Stage()
    await stage.say("message.received", id="m0", person="ana")
    stage.now = START + 9 * DAY
    await stage.say("message.received", id="m0", person="ana")
    await stage.say("usage.login")
    worker = await stage.worker(clock=lambda: 0)
    await worker.drain()
    before = (await stage.state()).evaluated_at
    if let_go:
        await worker.kill()
        worker = await stage.worker("w2", clock=lambda: 0)
    stage.now += 2 * HOUR
    await stage.say("message.received", id="m0", person="ana")
    await worker.drain()
    assert (await stage.state()).evaluated_at == before
