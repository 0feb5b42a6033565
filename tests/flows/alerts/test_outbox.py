"""The outbox: each delivery is sent by one worker, tried again on schedule, and given up openly."""

from __future__ import annotations

import asyncio

import pytest

from services.alerts import outbox
from services.alerts.channels import Answer, Channel
from services.alerts.outbox import OutboxWorker
from shared.domain.alerts.delivery import DELAYS, LEASE
from shared.domain.errors import Unavailable
from shared.storage.store import Delivery
from tests.eventually import eventually
from tests.flows.alerts.desk import FINGERPRINT, NOW, Desk, Recorder, Worker

ID = f"{FINGERPRINT}/1/opened.1/webhook"


async def with_delivery(channel: str = "webhook") -> Desk:
    desk = Desk()
    await desk.store.add_deliveries([a_delivery(channel)])
    return desk


def a_delivery(channel: str = "webhook", number: int = 1) -> Delivery:
    return Delivery(
        id=f"{FINGERPRINT}/{number}/opened.1/{channel}",
        tenant="acme",
        alert=FINGERPRINT,
        channel=channel,
        body="{}",
        created_at=NOW,
        next_attempt_at=NOW,
    )


async def turn(worker: Worker) -> int:
    async with asyncio.TaskGroup() as group:
        return await worker.outbox.turn(group)


async def only(desk: Desk) -> Delivery:
    (delivery,) = await desk.outbox()
    return delivery


async def test_a_delivery_is_sent_and_recorded() -> None:
    desk, channel = await with_delivery(), Recorder()
    worker = desk.worker({"webhook": channel})
    assert await turn(worker) == 1
    delivery = await only(desk)
    assert (delivery.state, delivery.attempts, delivery.delivered_at) == ("delivered", 1, NOW)
    assert [sent.id for sent in channel.sent] == [ID]
    assert await turn(worker) == 0
    assert worker.value("rapport_events_out_total", target="webhook") == 1


async def test_a_failing_delivery_is_tried_eight_times_on_schedule_and_given_up() -> None:
    desk, channel = await with_delivery(), Recorder(*[Answer.RETRY] * 20)
    worker = desk.worker({"webhook": channel})
    expected = []
    for delay in DELAYS:
        desk.now += delay
        expected.append(desk.now)
        if delay:
            desk.now -= 1
            assert await turn(worker) == 0
            desk.now += 1
        assert await turn(worker) == 1
    assert channel.times == expected
    delivery = await only(desk)
    assert (delivery.state, delivery.attempts, delivery.last_error) == ("failed", 8, "told to")
    desk.now += 1_000_000_000
    assert await turn(worker) == 0
    assert worker.value("rapport_delivery_errors_total", channel="webhook") == 8
    assert await desk.store.outbox_age(desk.now) == (0, 0)


async def test_a_later_attempt_that_succeeds_clears_the_error() -> None:
    desk, channel = await with_delivery(), Recorder(Answer.RETRY)
    worker = desk.worker({"webhook": channel})
    await turn(worker)
    assert (await only(desk)).last_error == "told to"
    desk.now += 5_000
    await turn(worker)
    delivery = await only(desk)
    assert (delivery.state, delivery.attempts, delivery.last_error) == ("delivered", 2, "")


async def test_a_receiver_that_is_gone_is_not_asked_again() -> None:
    desk = await with_delivery()
    worker = desk.worker({"webhook": Recorder(Answer.REFUSED)})
    await turn(worker)
    assert (await only(desk)).state == "failed"


async def test_a_channel_that_is_not_set_up_is_tried_again() -> None:
    desk = await with_delivery("webhook")
    await turn(desk.worker({"log": Recorder()}))
    delivery = await only(desk)
    assert (delivery.state, delivery.last_error) == ("pending", "channel webhook is not set up")
    desk.now += 5_000
    await turn(desk.worker())
    assert (await only(desk)).state == "delivered"


async def test_two_workers_send_once() -> None:
    desk, channel = await with_delivery(), Recorder()
    await desk.store.add_deliveries([a_delivery(number=number) for number in range(2, 20)])
    due = desk.store.due_deliveries
    both = asyncio.Barrier(2)

    async def due_to_both(now: int, limit: int) -> list[Delivery]:
        found = await due(now, limit)
        await both.wait()  # each has read before either claims
        return found

    desk.store.due_deliveries = due_to_both  # type: ignore[method-assign]
    workers = [desk.worker({"webhook": channel}) for _ in range(2)]
    claimed = await asyncio.gather(*(turn(worker) for worker in workers))
    assert sum(claimed) == 19
    assert len(channel.sent) == len({sent.id for sent in channel.sent}) == 19


async def test_a_worker_that_dies_while_sending_leaves_the_claim_to_run_out() -> None:
    desk = await with_delivery()
    dying = desk.worker()
    assert await dying.outbox._claim(await only(desk)) is not None  # and then it died
    channel = Recorder()
    worker = desk.worker({"webhook": channel})
    desk.now += LEASE - 1
    assert await turn(worker) == 0
    desk.now += 1
    assert await turn(worker) == 1
    assert (await only(desk)).attempts == 2
    assert len(channel.sent) == 1


async def test_dying_in_the_last_attempt_is_a_failure() -> None:
    desk = await with_delivery()
    worker = desk.worker({"webhook": Recorder(*[Answer.RETRY] * 7)})
    for delay in DELAYS[:7]:
        desk.now += delay
        await turn(worker)
    desk.now += DELAYS[7]
    assert await worker.outbox._claim(await only(desk)) is not None
    desk.now += LEASE
    assert await turn(worker) == 0
    delivery = await only(desk)
    assert (delivery.state, delivery.last_error) == ("failed", "worker lost in last attempt")


class Slow:
    """A channel that answers when it is let."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.sending = 0

    async def send(self, delivery: Delivery, at: int) -> object:
        self.sending += 1
        await self.let.wait()
        return await Recorder().send(delivery, at)

    async def close(self) -> None:
        return None


async def running(worker: OutboxWorker) -> asyncio.Task[None]:
    return asyncio.create_task(worker.run())


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_running_it_is_woken_by_new_deliveries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "POLL_SECONDS", 3_600)
    desk, channel = Desk(), Recorder()
    worker = desk.worker({"webhook": channel})
    task = await running(worker.outbox)
    await desk.publish(desk.update(desk.change()))
    await worker.drain()
    await eventually(lambda: channel.sent)
    await stopped(task)


async def test_only_so_many_are_under_way_at_once() -> None:
    desk, channel = Desk(), Slow()
    await desk.store.add_deliveries([a_delivery(number=number) for number in range(50)])
    slow: dict[str, Channel] = {"webhook": channel}  # type: ignore[dict-item]
    task = await running(desk.worker(slow).outbox)
    await eventually(lambda: channel.sending == 32)
    channel.let.set()
    await eventually(lambda: channel.sending == 50)

    async def all_delivered() -> bool:
        return await desk.store.outbox_age(desk.now) == (0, 0)

    await eventually(all_delivered)
    await stopped(task)


async def test_an_outage_of_the_store_is_waited_out() -> None:
    desk, channel = await with_delivery(), Recorder()
    worker = desk.worker({"webhook": channel})
    due, left = desk.store.due_deliveries, [Unavailable("gone")]

    async def sometimes(now: int, limit: int) -> list[Delivery]:
        if left:
            raise left.pop()
        return await due(now, limit)

    desk.store.due_deliveries = sometimes  # type: ignore[method-assign]
    task = await running(worker.outbox)
    await eventually(lambda: channel.sent)
    await stopped(task)
    assert worker.value("rapport_store_errors_total", operation="outbox") == 1


async def test_what_was_sent_and_could_not_be_recorded_is_sent_again_after_the_claim() -> None:
    desk, channel = await with_delivery(), Recorder()
    worker = desk.worker({"webhook": channel})
    update, calls = desk.store.update_delivery, []

    async def second_fails(delivery: Delivery, expected_attempts: int) -> None:
        calls.append(delivery)
        if len(calls) == 2:
            raise Unavailable("gone")
        await update(delivery, expected_attempts)

    desk.store.update_delivery = second_fails  # type: ignore[method-assign]
    await turn(worker)
    assert (await only(desk)).state == "pending"
    desk.now += LEASE
    await turn(worker)
    assert (await only(desk)).state == "delivered"
    assert [sent.id for sent in channel.sent] == [ID, ID]


async def test_a_defect_in_a_channel_ends_the_worker() -> None:
    class Broken(Recorder):
        async def send(self, delivery: Delivery, at: int) -> object:  # type: ignore[override]
            raise KeyError("defect")

    desk = await with_delivery()
    broken: dict[str, Channel] = {"webhook": Broken()}  # type: ignore[dict-item]
    with pytest.raises(ExceptionGroup, match="unhandled") as raised:
        await desk.worker(broken).outbox.run()
    assert isinstance(raised.value.exceptions[0], KeyError)
