"""What the publisher and the reader promise, held against every log."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest

from shared.domain.errors import Misconfigured, Unavailable
from shared.embedded import broker
from shared.embedded.ports import LOOPBACK, free_port
from shared.embedded.process import Child
from shared.stream.ports import Message, Record
from shared.stream.publisher import KafkaPublisher
from shared.stream.reader import KafkaReader
from tests.contracts.logs import KINDS, Log

START = 1_700_000_000_000


def numbered(count: int, first: int = 0) -> list[Message]:
    return [Message(str(n).encode(), key=b"k%d" % n, timestamp=START + n) for n in range(first, first + count)]


async def read_all(log: Log, topic: str, partition: int = 0, offset: int = 0) -> list[Record]:
    return [record async for record in log.reader().read(topic, partition, offset, follow=False)]


@pytest.fixture(params=KINDS)
async def log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    log = KINDS[request.param](request)
    yield log
    await log.close()


async def test_messages_come_back_in_order_with_offsets_keys_and_times(log: Log) -> None:
    topic = await log.topic(2)
    publisher = log.publisher()

    assert await publisher.publish(topic, 1, numbered(3)) == 0
    assert await publisher.publish(topic, 1, numbered(2, first=3)) == 3

    assert await read_all(log, topic, 1) == [Record(n, START + n, b"k%d" % n, str(n).encode()) for n in range(5)]
    assert await read_all(log, topic, 0) == []


async def test_headers_and_missing_keys_come_back(log: Log) -> None:
    topic = await log.topic()
    headers = (("incarnation", b"abc"), ("empty", b""))

    await log.publisher().publish(topic, 0, [Message(b"v", headers=headers, timestamp=START)])

    assert await read_all(log, topic) == [Record(0, START, None, b"v", headers)]


async def test_nothing_cannot_be_published(log: Log) -> None:
    topic = await log.topic()
    with pytest.raises(ValueError, match="nothing to publish"):
        await log.publisher().publish(topic, 0, [])


async def test_bounds_are_the_first_offset_and_the_one_after_the_last(log: Log) -> None:
    topic = await log.topic()
    reader = log.reader()
    assert await reader.bounds(topic, 0) == (0, 0)

    for n in range(3):  # batches of several records each
        await log.publisher().publish(topic, 0, numbered(7, first=7 * n))

    assert await reader.bounds(topic, 0) == (0, 21)


async def test_reading_starts_in_the_middle_of_a_batch(log: Log) -> None:
    topic = await log.topic()
    await log.publisher().publish(topic, 0, numbered(10))

    assert [record.offset for record in await read_all(log, topic, offset=4)] == [4, 5, 6, 7, 8, 9]
    assert await read_all(log, topic, offset=10) == []


async def test_an_offset_beyond_the_end_is_an_error_that_says_what_there_is(log: Log) -> None:
    topic = await log.topic()
    await log.publisher().publish(topic, 0, numbered(2))

    with pytest.raises(Misconfigured, match="5"):
        await read_all(log, topic, offset=5)


async def test_following_waits_for_what_is_yet_to_come(log: Log) -> None:
    topic = await log.topic()
    publisher = log.publisher()
    await publisher.publish(topic, 0, numbered(2))
    following = log.reader().read(topic, 0, 0, follow=True)

    async with asyncio.timeout(20):
        seen = [(await anext(following)).offset for _ in range(2)]
        later = asyncio.create_task(publisher.publish(topic, 0, numbered(1, first=2)))
        seen.append((await anext(following)).offset)
        await later

    assert seen == [0, 1, 2]


async def test_more_than_a_batch_takes_keeps_its_order(log: Log) -> None:
    topic = await log.topic()
    messages = [Message(b"%d" % n + b"." * 9_000, timestamp=START) for n in range(250)]  # 2.25 MB

    first = await log.publisher().publish(topic, 0, messages)

    assert first == 0
    assert [record.value for record in await read_all(log, topic)] == [message.value for message in messages]


async def test_concurrent_calls_each_learn_their_own_first_offset(log: Log) -> None:
    topic = await log.topic()
    publisher = log.publisher()

    calls = [numbered(1 + n % 3, first=10 * n) for n in range(50)]
    firsts = await asyncio.gather(*(publisher.publish(topic, 0, messages) for messages in calls))

    records = await read_all(log, topic)
    for first, messages in zip(firsts, calls, strict=True):
        assert [r.value for r in records[first : first + len(messages)]] == [m.value for m in messages]
    assert len(records) == sum(map(len, calls))


async def test_a_broker_that_is_not_there_is_unavailable_at_once() -> None:
    nowhere = f"{LOOPBACK}:{free_port()}"
    publisher = KafkaPublisher(nowhere, timeout=1)

    async with asyncio.timeout(5):
        with pytest.raises(Unavailable, match=nowhere):
            await publisher.publish("topic", 0, numbered(1))
        with pytest.raises(Unavailable, match=nowhere):
            await KafkaReader(nowhere, timeout=1).bounds("topic", 0)
    await publisher.close()


async def test_a_broker_that_goes_is_noticed_and_one_that_returns_is_used() -> None:
    port = free_port()
    log = KINDS["embedded broker"](_Bootstrap(f"{LOOPBACK}:{port}"))
    publisher = KafkaPublisher(f"{LOOPBACK}:{port}")
    hasty = KafkaPublisher(f"{LOOPBACK}:{port}", timeout=1)
    child = await _start(port)
    topic = await log.topic()
    assert await publisher.publish(topic, 0, numbered(1)) == 0
    await child.stop()

    async with asyncio.timeout(8):
        with pytest.raises(Unavailable):
            await hasty.publish(topic, 0, numbered(1))

    child = await _start(port)
    try:
        again = await log.topic()
        assert await publisher.publish(again, 0, numbered(1)) == 0
    finally:
        await publisher.close()
        await hasty.close()
        await child.stop()


async def test_a_broker_that_hangs_is_unavailable_in_time_and_loses_nothing_that_was_acknowledged() -> None:
    port = free_port()
    log = KINDS["embedded broker"](_Bootstrap(f"{LOOPBACK}:{port}"))
    publisher = KafkaPublisher(f"{LOOPBACK}:{port}")
    hasty = KafkaPublisher(f"{LOOPBACK}:{port}", timeout=1)
    child = await _start(port)
    try:
        topic = await log.topic()
        assert await publisher.publish(topic, 0, numbered(5)) == 0
        child.process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(5):
            outcomes = await asyncio.gather(
                *(hasty.publish(topic, 0, numbered(1)) for _ in range(3)), return_exceptions=True
            )
        assert {type(outcome) for outcome in outcomes} == {Unavailable}

        child.process.send_signal(signal.SIGCONT)
        assert await publisher.publish(topic, 0, numbered(1)) >= 5
        assert [record.value for record in await read_all(log, topic)][:5] == [m.value for m in numbered(5)]
    finally:
        child.process.send_signal(signal.SIGCONT)
        await publisher.close()
        await hasty.close()
        await log.close()
        await child.stop()


class _Bootstrap:
    def __init__(self, address: str) -> None:
        self._address = address

    def getfixturevalue(self, name: str) -> str:
        return self._address


async def _start(port: int) -> Child:
    child = await Child.start(broker.launch(port), lambda name, line: None)
    await child.ready()
    return child
