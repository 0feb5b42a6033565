"""Moments between a fetch and the queue at which Faust would drop a batch."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from shared.stream.faust_consumer import Consumer, Unread
from shared.stream.ledger import Fetched
from shared.stream.ports import Batch, Record

PLACE = TP("topic", 0)


def fetched(epoch: int) -> Fetched:
    return Fetched(Batch("topic", 0, [Record(0, 0, None, b"")], end=1), epoch, 0)


class Stand:
    """As much of a consumer as getmany looks at."""

    def __init__(self, *batches: Fetched) -> None:
        self._batches = list(batches)
        self._runner = SimpleNamespace(ledger=SimpleNamespace(epoch=1))
        self.can_resume_flow = asyncio.Event()
        self.flow_active = False
        self.should_stop = False

    async def _wait_next_records(self, timeout: float) -> tuple[dict[TP, list[Fetched]], None]:
        return {PLACE: self._batches}, None

    async def wait(self, event: asyncio.Event) -> None:
        await event.wait()

    def _to_message(self, place: TP, batch: Fetched) -> Fetched:
        return batch

    def resume(self) -> None:
        self.flow_active = True
        self.can_resume_flow.set()


async def collect(stand: Any) -> list[Fetched]:
    return [message async for _, message in Consumer.getmany(stand, timeout=1.0)]


async def test_what_was_fetched_between_the_seek_and_the_resumption_waits_and_is_not_dropped() -> None:
    stand = Stand(fetched(epoch=1))
    collecting = asyncio.create_task(collect(stand))
    await asyncio.sleep(0)
    assert not collecting.done()
    stand.resume()

    assert await asyncio.wait_for(collecting, 5) == [fetched(epoch=1)]


async def test_what_was_fetched_before_the_seek_is_dropped() -> None:
    stand = Stand(fetched(epoch=0))
    stand.resume()

    assert await asyncio.wait_for(collect(stand), 5) == []


async def test_how_far_faust_has_read_drops_nothing() -> None:
    offsets = Unread()
    offsets[PLACE] = 7
    assert offsets[PLACE] is None
