"""When the consumer's thread believes that what was committed is gone."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import NotCoordinatorForGroupError
from aiokafka.structs import OffsetAndMetadata

from shared.domain.errors import Misconfigured
from shared.stream.faust_thread import DOUBTS, ConsumerThread

PLACE = TopicPartition("topic", 0)
HAS, LACKS = {PLACE: OffsetAndMetadata(7, "")}, {PLACE: OffsetAndMetadata(-1, "")}


class Stand:
    """As much of a thread as the check looks at; its broker gives these answers, the last one for ever."""

    _missing = ConsumerThread._missing

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self._known = {PLACE}
        self.asked = 0

    def _ensure_consumer(self) -> Any:
        return SimpleNamespace(_coordinator=self)

    async def fetch_committed_offsets(self, places: list[TopicPartition]) -> Any:
        self.asked += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        await asyncio.sleep(0)
        return answer


async def check(stand: Any) -> int:
    await ConsumerThread._check_log(stand)
    return int(stand.asked)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.stream.faust_thread.DOUBTS", (0.0,) * len(DOUBTS))


async def test_what_is_there_is_asked_for_once() -> None:
    assert await check(Stand(HAS)) == 1


@pytest.mark.parametrize("lacks", [LACKS, {}])
async def test_a_broker_that_is_being_stopped_has_no_offsets_for_a_moment(lacks: Any) -> None:
    assert await check(Stand(lacks, lacks, NotCoordinatorForGroupError())) == 3
    assert await check(Stand(lacks, HAS)) == 2


@pytest.mark.parametrize("lacks", [LACKS, {}])
async def test_a_broker_that_stays_without_offsets_has_lost_them(lacks: Any) -> None:
    with pytest.raises(Misconfigured, match="the topic was made anew"):
        await check(Stand(lacks))


async def test_what_was_given_up_meanwhile_is_not_missed() -> None:
    stand = Stand(LACKS)
    stand._known = set()
    assert await check(stand) == 1
