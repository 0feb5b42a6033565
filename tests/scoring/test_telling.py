"""What scoring tells, and that nothing it has found is kept to itself."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from shared.domain.events import HOUR
from shared.domain.verdicts import Rule, Severity
from shared.stream.ports import Message, Publisher
from shared.stream.topics import UPDATES
from tests.scoring.stage import START, Stage


class Crash(BaseException):
    """Stands for kill -9."""


class Mortal:
    """A publisher; once `doomed`, the process ends as it is about to tell something."""

    def __init__(self, real: Publisher) -> None:
        self._real = real
        self.doomed = False

    async def publish(self, topic: str, partition: int, messages: Sequence[Message]) -> int:
        if self.doomed and topic == UPDATES:
            raise Crash
        return await self._real.publish(topic, partition, messages)

    async def close(self) -> None:
        await self._real.close()


async def test_what_a_clock_record_has_found_is_told_after_a_crash_between_store_and_topic() -> None:
    stage = Stage()
    publisher = Mortal(stage.log.publisher())
    worker = await stage.worker(publisher=publisher)
    await stage.say("promise.made", promise="p", due="2026-06-01T12:00:00Z")
    await worker.drain()
    stage.now = START + 4 * HOUR
    await worker.flush()  # appends the clock record
    publisher.doomed = True
    with pytest.raises(Crash):
        await worker.drain()
    await worker.kill()
    assert (await stage.head()).flags["expectation_violated/p"].severity == Severity.CRITICAL
    assert stage.told() == []

    await (await stage.worker("heir")).drain()
    assert [(change.rule, change.moment) for change in stage.told()] == [(Rule.EXPECTATION_VIOLATED, START + 3 * HOUR)]
    state = await stage.store.partition_state(0)
    assert state is not None
    assert state.untold == ()
