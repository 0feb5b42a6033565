"""What is within the contract, and meant to break the worker: it is refused, or bounded, and scoring goes on."""

from __future__ import annotations

from shared import wire
from shared.domain.events import HOUR
from shared.stream.quarantine import Quarantined
from shared.stream.topics import QUARANTINE
from tests.scoring.stage import Stage, run_clock


async def goes_on(stage: Stage) -> list[str]:
    """Read everything, let some hours pass; the reasons of what went to quarantine."""
    worker = await stage.worker()
    await worker.drain()
    await run_clock(stage, worker, stage.now + 3 * HOUR)
    return [wire.decode(record.value, Quarantined).reason for record in stage.log.records(QUARANTINE)]


async def test_a_moment_that_is_no_date_in_utc() -> None:
    stage = Stage()
    await stage.say("promise.made", promise="p", due="0001-01-01T00:00:00+23:59")
    assert await goes_on(stage) == ["invalid_field"]


async def test_quantities_whose_sum_is_no_number() -> None:
    stage = Stage()
    for _ in range(2):
        await stage.say("usage.login", quantity=1.7e308)
    await stage.say("usage.login", quantity=1e12)
    assert await goes_on(stage) == ["invalid_field", "invalid_field"]
    assert list((await stage.counts()).values()) == [1e12]
