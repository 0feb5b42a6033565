"""Appending to Kafka in batches: whatever waits for a partition while its last batch is in flight becomes the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, UnknownTopicOrPartitionError

from shared.domain.errors import Poison, Unavailable
from shared.stream.ports import Headers, Message

BATCH_BYTES = 900_000  # a broker accepts 1 MiB a batch unless it is told otherwise
RECORD_OVERHEAD = 32  # bytes of a record beside key, value and headers, at most
TIMEOUT_SECONDS = 4.0


class KafkaPublisher:
    """Publisher on Kafka. Connects when first used, or with `start`.

    Not idempotent, since not every broker is: after `Unavailable` the messages may be in the log all the same, and
    a retry appends them again. Readers tell the copies by the ids inside.
    """

    def __init__(self, bootstrap: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._bootstrap = bootstrap
        self._timeout = timeout
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._lanes: dict[tuple[str, int], _Lane] = {}

    async def start(self) -> None:
        """Connect. Raises Unavailable."""
        await self._connected()

    async def publish(self, topic: str, partition: int, messages: Sequence[Message]) -> int:
        """Append to a partition in order; the offset of the first. Raises Unavailable within about twice `timeout`."""
        if not messages:
            raise ValueError("nothing to publish: there is no first offset")
        producer = await self._connected()
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = _Lane(producer, topic, partition, self._bootstrap)
        first: int | None = None
        for part in _parts(messages):  # one after the other: what follows a failure is not sent
            offset = await lane.append(part)
            first = offset if first is None else first
        assert first is not None
        return first

    async def close(self) -> None:
        """Send what waits, then disconnect."""
        async with self._starting:
            for lane in self._lanes.values():
                await lane.close()
            if self._producer is not None:
                await self._producer.stop()
            self._producer = None
            self._lanes = {}

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            async with self._starting:
                if self._producer is None:
                    self._producer = await self._connect()
        return self._producer

    async def _connect(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=int(self._timeout * 1000),  # also how long a batch is retried
        )
        try:
            async with asyncio.timeout(2 * self._timeout):
                await producer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await producer.stop()
            raise _unavailable(self._bootstrap, error) from error
        return producer


class _Part:
    """Messages of one call that fit into a batch, and their future first offset."""

    def __init__(self, messages: Sequence[Message], size: int) -> None:
        self.messages = messages
        self.size = size
        self.offset: asyncio.Future[int] = asyncio.get_running_loop().create_future()


class _Lane:
    """One partition: a batch in flight at a time, so order is kept whatever is retried."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partition: int, bootstrap: str) -> None:
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._bootstrap = bootstrap
        self._waiting: deque[_Part] = deque()
        self._pump: asyncio.Task[None] | None = None

    async def append(self, part: _Part) -> int:
        self._waiting.append(part)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._send_all(), name=f"publish {self._topic}/{self._partition}")
        return await part.offset

    async def close(self) -> None:
        if self._pump is not None:
            await self._pump

    async def _send_all(self) -> None:
        while self._waiting:
            parts = self._next_batch()
            try:
                offset = await self._send(parts)
            except Exception as error:  # noqa: BLE001 - not swallowed: handed to those who wait for the offsets
                for part in parts:
                    if not part.offset.done():
                        part.offset.set_exception(error)
            else:
                for part in parts:
                    if not part.offset.done():
                        part.offset.set_result(offset)
                    offset += len(part.messages)

    def _next_batch(self) -> list[_Part]:
        parts = [self._waiting.popleft()]
        size = parts[0].size
        while self._waiting and size + self._waiting[0].size <= BATCH_BYTES:
            parts.append(self._waiting.popleft())
            size += parts[-1].size
        return parts

    async def _send(self, parts: Sequence[_Part]) -> int:
        batch = self._producer.create_batch()
        for part in parts:
            for message in part.messages:
                headers = list(message.headers)
                added = batch.append(timestamp=message.timestamp, key=message.key, value=message.value, headers=headers)
                if added is None:
                    raise AssertionError("the batch is full below its estimated size")
        try:
            sent = await (await self._producer.send_batch(batch, self._topic, partition=self._partition))
        except MessageSizeTooLargeError as error:
            size = sum(part.size for part in parts)
            raise Poison(
                "too_large", f"Kafka refuses {size} bytes for {self._topic}: raise message.max.bytes"
            ) from error
        except UnknownTopicOrPartitionError as error:
            raise Unavailable(f"Kafka at {self._bootstrap} has no topic {self._topic}: create it first") from error
        except (KafkaError, OSError, TimeoutError) as error:
            raise _unavailable(self._bootstrap, error) from error
        return int(sent.offset)


def _parts(messages: Sequence[Message]) -> Iterator[_Part]:
    taken: list[Message] = []
    total = 0
    for message in messages:
        size = _size(message)
        if taken and total + size > BATCH_BYTES:
            yield _Part(taken, total)
            taken, total = [], 0
        taken.append(message)
        total += size
    yield _Part(taken, total)


def _size(message: Message) -> int:
    return len(message.value) + len(message.key or b"") + _headers_size(message.headers) + RECORD_OVERHEAD


@lru_cache(maxsize=64)  # most messages have the same
def _headers_size(headers: Headers) -> int:
    return sum(len(name) * 4 + len(value) + 10 for name, value in headers)


def _unavailable(bootstrap: str, error: BaseException) -> Unavailable:
    return Unavailable(f"Kafka at {bootstrap} does not answer ({type(error).__name__}: {error})")
