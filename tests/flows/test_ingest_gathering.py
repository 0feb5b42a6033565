"""Single events that arrive together go to the log together, and are still answered each by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from services.ingest.deadline import Deadline
from services.ingest.gathering import GROUP, LONG, Gathering
from services.ingest.intake import Delivery, Item, Receipt
from services.ingest.outbound import Busy
from shared.domain.errors import Unavailable
from shared.domain.keys import format_key
from shared.stream.frames import read_frame
from shared.stream.ports import Message
from shared.stream.topics import QUARANTINE
from tests.eventually import eventually
from tests.flows.ingest_stage import BATCH, SECRET, WRITE_KEY, Stage, event

ONE = "application/cloudevents+json"


class Gate:
    """Stands before a stage's broker: publishes wait until it is opened, and their events are counted."""

    def __init__(self, stage: Stage) -> None:
        self.opened = asyncio.Event()
        self.sizes: list[int] = []
        self.refused = 0  # publishes of so many events fail
        self._publish = stage.broker.publish
        stage.broker.publish = self.publish  # type: ignore[method-assign]

    async def publish(self, topic: str, partition: int, messages: Sequence[Message]) -> int:
        size = len(messages) if topic == QUARANTINE else sum(len(read_frame(message.value)) for message in messages)
        self.sizes.append(size)
        await self.opened.wait()
        if size == self.refused:
            raise Unavailable("Kafka does not answer")
        return await self._publish(topic, partition, messages)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage() as stage:
        yield stage


def of_one_relationship(number: int, **changes: Any) -> dict[str, Any]:
    return event(1, id=f"e-{number}", **changes)


async def posted(stage: Stage, bodies: Sequence[Any], media: str = ONE, **how: Any) -> list[asyncio.Task[Any]]:
    """Posts under way: at the gate, or behind others."""
    tasks = [asyncio.create_task(stage.post(body, media, **how)) for body in bodies]
    for _ in range(50):
        await asyncio.sleep(0)
    return tasks


async def test_what_arrives_while_a_group_is_under_way_goes_together_next(stage: Stage) -> None:
    gate = Gate(stage)
    tasks = await posted(stage, [of_one_relationship(0)])
    assert gate.sizes == [1]
    tasks += await posted(stage, [of_one_relationship(1)])
    tasks += await posted(stage, [of_one_relationship(number) for number in range(2, 21)])
    assert gate.sizes == [1]
    assert not any(task.done() for task in tasks)
    gate.opened.set()
    answers = await asyncio.gather(*tasks)
    assert [(answer.status_code, answer.json()) for answer in answers] == [(202, {"accepted": 1, "rejected": []})] * 21
    assert gate.sizes == [1, 20]
    assert {found.id for found in stage.published()} == {f"e-{number}" for number in range(21)}


async def test_beside_a_group_under_way_goes_a_full_one_and_no_third(stage: Stage) -> None:
    gate = Gate(stage)
    batches = [[of_one_relationship(number) for number in range(start, start + GROUP)] for start in (1, 2_000, 4_000)]
    tasks = await posted(stage, [of_one_relationship(0)])
    tasks += await posted(stage, batches, media=BATCH)
    await eventually(lambda: len(gate.sizes) == 2)
    for _ in range(50):
        await asyncio.sleep(0)
    assert gate.sizes == [1, GROUP]
    gate.opened.set()
    answers = await asyncio.gather(*tasks)
    assert [answer.json()["accepted"] for answer in answers] == [1, GROUP, GROUP, GROUP]
    assert gate.sizes == [1, GROUP, GROUP, GROUP]


async def test_a_group_that_takes_long_does_not_hold_up_what_comes_after_it(stage: Stage) -> None:
    slow, publish = asyncio.Event(), stage.broker.publish

    async def one_is_slow(topic: str, partition: int, messages: Sequence[Message]) -> int:
        if b"e-0" in messages[0].value:
            await slow.wait()
        return await publish(topic, partition, messages)

    stage.broker.publish = one_is_slow  # type: ignore[method-assign]
    [first] = await posted(stage, [of_one_relationship(0)])
    waits = await posted(stage, [of_one_relationship(1)])
    stage.seconds += LONG
    waits += await posted(stage, [of_one_relationship(2)])
    assert stage.published() == []
    stage.seconds += 0.01
    waits += await posted(stage, [of_one_relationship(3)])  # takes along those that wait
    assert {found.id for found in stage.published()} == {"e-1", "e-2", "e-3"}
    assert [(await task).status_code for task in waits] == [202] * 3
    assert not first.done()
    slow.set()
    assert (await first).status_code == 202


async def test_a_taker_that_is_cancelled_leaves_nothing_waiting_for_ever(stage: Stage) -> None:
    take, gathering = stage.intake.take, Gathering(stage.intake, max_bytes=100)

    async def cancelled(delivery: Delivery) -> Receipt:
        stage.intake.take = take  # type: ignore[method-assign]
        raise asyncio.CancelledError

    stage.intake.take = cancelled  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await gathering.take("acme", [Item(b"{}")], 90)
    receipts = [gathering.take("acme", [Item(b"{}")], 40) for _ in range(2)]
    assert [receipt.accepted for receipt in await asyncio.gather(*receipts)] == [0, 0]


async def test_batches_and_single_events_share_a_group_and_each_is_told_of_its_own(stage: Stage) -> None:
    gate = Gate(stage)
    tasks = await posted(stage, [of_one_relationship(0)])
    tasks += await posted(stage, [of_one_relationship(1)])
    bad = of_one_relationship(5, specversion="0.3")
    tasks += await posted(stage, [of_one_relationship(2)])
    tasks += await posted(stage, [[of_one_relationship(3), bad, of_one_relationship(4)], [bad], []], media=BATCH)
    gate.opened.set()
    answers = await asyncio.gather(*tasks)
    assert [answer.status_code for answer in answers] == [202, 202, 202, 202, 422, 202]
    told = [answer.json() for answer in answers]
    assert [found.get("accepted") for found in told] == [1, 1, 1, 2, None, 0]
    assert [[item["index"] for item in found["rejected"]] for found in told] == [[], [], [], [1], [0], []]
    assert gate.sizes == [1, 4, 2]  # two of the last group to quarantine


async def test_a_bad_event_among_them_is_rejected_alone(stage: Stage) -> None:
    bad = of_one_relationship(1, specversion="0.3")
    tasks = await posted(stage, [of_one_relationship(0), bad, of_one_relationship(2)])
    answers = await asyncio.gather(*tasks)
    assert [answer.status_code for answer in answers] == [202, 422, 202]
    assert [(item["index"], item["id"]) for item in answers[1].json()["rejected"]] == [(0, "e-1")]
    assert sorted(found.id for found in stage.published()) == ["e-0", "e-2"]
    assert [kept.id for kept in stage.quarantine()] == ["e-1"]


async def test_none_is_acknowledged_that_the_broker_did_not_take(stage: Stage) -> None:
    gate = Gate(stage)
    tasks = await posted(stage, [of_one_relationship(0)])
    tasks += await posted(stage, [of_one_relationship(1), of_one_relationship(2)])
    gate.refused = 2
    gate.opened.set()
    answers = await asyncio.gather(*tasks)
    assert [answer.status_code for answer in answers] == [202, 503, 503]
    await stage.identity.refresh()
    assert (await stage.post(of_one_relationship(2), ONE)).status_code == 202


async def test_tenants_do_not_share_a_group(stage: Stage) -> None:
    await stage.add_key("other", "write", "globex")
    tasks = await posted(stage, [of_one_relationship(0), of_one_relationship(1)])
    tasks += await posted(stage, [of_one_relationship(2)], key=format_key("write", "other", SECRET))
    assert [answer.status_code for answer in await asyncio.gather(*tasks)] == [202] * 3
    assert {(found.tenant, found.id) for found in stage.published()} == {
        ("acme", "e-0"), ("acme", "e-1"), ("globex", "e-2")
    }  # fmt: skip


async def test_a_group_is_bounded(stage: Stage) -> None:
    gate = Gate(stage)
    gathering = Gathering(stage.intake)
    items = [Item(b'{"id":"%d"}' % number) for number in range(GROUP + 5)]
    receipts = [gathering.take("acme", [item], 0) for item in items]
    gate.opened.set()
    answers = await asyncio.gather(*receipts)
    assert [answer.rejected[0].id for answer in answers] == [str(number) for number in range(GROUP + 5)]
    assert sorted(gate.sizes) == [5, GROUP]


async def test_too_much_waiting_is_refused_and_what_waits_is_not_harmed(stage: Stage) -> None:
    gate = Gate(stage)
    gathering = Gathering(stage.intake, max_bytes=100)
    kept = gathering.take("acme", [Item(b"{}")], 200)  # one always goes, however large
    with pytest.raises(Busy):
        gathering.take("acme", [Item(b"{}")], 2)
    gate.opened.set()
    assert (await kept).accepted == 0
    await eventually(lambda: not gathering._queues)
    assert (await gathering.take("acme", [Item(b"{}")], 2)).accepted == 0


async def test_who_gave_up_waiting_takes_nobody_with_him(stage: Stage) -> None:
    gate = Gate(stage)
    gone, stays = await posted(stage, [of_one_relationship(0), of_one_relationship(1)])
    gone.cancel()
    gate.opened.set()
    assert (await stays).status_code == 202
    assert (await stage.post(of_one_relationship(2), ONE, key=WRITE_KEY)).status_code == 202


# --- deadlines ---------------------------------------------------------------------------------------------------


async def never() -> None:
    await asyncio.Event().wait()


async def test_what_takes_too_long_is_given_up_and_the_rest_goes_on() -> None:
    deadline = Deadline(0.02)
    gate = asyncio.Event()
    late = [asyncio.create_task(deadline.within(never())) for _ in range(3)]
    in_time = asyncio.create_task(deadline.within(gate.wait()))
    gate.set()
    assert await in_time is True
    for task in late:
        with pytest.raises(TimeoutError):
            await task
    with pytest.raises(TimeoutError):  # the timer is set again for who comes later
        await deadline.within(never())


async def test_work_that_waits_for_nothing_needs_no_timer_and_more_waits_than_one_are_watched() -> None:
    async def at_once() -> str:
        return "there"

    async def waits_twice() -> str:
        await asyncio.sleep(0)
        with pytest.raises(ZeroDivisionError):
            await asyncio.gather(*[asyncio.to_thread(divmod, 1, 0)])
        return "there"

    deadline = Deadline(10)
    assert await deadline.within(at_once()) == "there"
    assert deadline._timer is None
    assert await deadline.within(waits_twice()) == "there"
    assert deadline._timer is not None


async def test_it_raises_what_the_work_raises() -> None:
    async def fails() -> None:
        raise Unavailable("gone")

    with pytest.raises(Unavailable):
        await Deadline(10).within(fails())


async def test_cancelling_stays_cancelling() -> None:
    task = asyncio.create_task(Deadline(10).within(never()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_may_go_on_after_its_time_was_up() -> None:
    async def tries_twice() -> str:
        deadline = Deadline(0.01)
        try:
            await deadline.within(never())
        except TimeoutError:
            await asyncio.sleep(0)
        return "done"

    assert await tries_twice() == "done"
