"""Reading partitions of Kafka without a consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from shared.domain.errors import Misconfigured, Unavailable
from shared.stream.ports import Record

TIMEOUT_SECONDS = 10.0
FETCH_WAIT_MS = 20  # the embedded broker answers a waiting fetch only when this is over


class KafkaReader:
    """LogReader on Kafka; every call has a connection of its own."""

    def __init__(self, bootstrap: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._bootstrap = bootstrap
        self._timeout = timeout
        self._open: set[AIOKafkaConsumer] = set()

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset there is, and the one after the last. Raises Unavailable."""
        place = TopicPartition(topic, partition)
        async with self._consumer(place) as consumer, self._answering():
            return await self._first(consumer, place), await self._end(consumer, place)

    async def read(self, topic: str, partition: int, offset: int, *, follow: bool) -> AsyncIterator[Record]:
        """Records from `offset` on. Raises Misconfigured where the log has no such offset, Unavailable."""
        place = TopicPartition(topic, partition)
        async with self._consumer(place) as consumer:
            async with self._answering():
                first, end = await self._first(consumer, place), await self._end(consumer, place)
            if not first <= offset <= end:
                raise _out_of_range(place, offset, first, end)
            consumer.seek(place, offset)
            while follow or offset < end:
                for record in await self._next(consumer, place, follow):
                    if not follow and record.offset >= end:
                        return
                    yield Record(record.offset, record.timestamp, record.key, record.value, tuple(record.headers))
                offset = await consumer.position(place)

    async def close(self) -> None:
        """Disconnect; readings that still go on end with an error."""
        for consumer in tuple(self._open):
            await consumer.stop()
        self._open.clear()

    async def _next(self, consumer: AIOKafkaConsumer, place: TopicPartition, follow: bool) -> list[Any]:
        """The records of the next fetch; with `follow` possibly none."""
        try:
            fetched = await consumer.getmany(place, timeout_ms=int(self._timeout * 1000))
        except OffsetOutOfRangeError as error:
            async with self._answering():
                first, end = await self._first(consumer, place), await self._end(consumer, place)
            raise _out_of_range(place, await consumer.position(place), first, end) from error
        except KafkaError as error:
            raise self._unavailable(error) from error
        records: list[Any] = fetched.get(place, [])
        if not records and not follow:
            raise Unavailable(f"Kafka at {self._bootstrap} sent nothing of {place.topic} for {self._timeout} s")
        return records

    async def _first(self, consumer: AIOKafkaConsumer, place: TopicPartition) -> int:
        return int((await consumer.beginning_offsets([place]))[place])

    async def _end(self, consumer: AIOKafkaConsumer, place: TopicPartition) -> int:
        """The high watermark as a fetch tells it: what ListOffsets says may lie before the last batch's end."""
        listed = int((await consumer.end_offsets([place]))[place])
        consumer.seek(place, listed)
        while (end := consumer.highwater(place)) is None or end < listed:
            await consumer.getmany(place, timeout_ms=FETCH_WAIT_MS)
        return int(end)

    @asynccontextmanager
    async def _consumer(self, place: TopicPartition) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            auto_offset_reset="none",
            enable_auto_commit=False,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            request_timeout_ms=int(self._timeout * 1000),
        )
        self._open.add(consumer)
        try:
            async with self._answering():
                await consumer.start()
            consumer.assign([place])
            yield consumer
        finally:
            self._open.discard(consumer)
            await consumer.stop()

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except (KafkaError, OSError, TimeoutError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: BaseException) -> Unavailable:
        return Unavailable(f"Kafka at {self._bootstrap} does not answer ({type(error).__name__}: {error})")


def _out_of_range(place: TopicPartition, offset: int, first: int, end: int) -> Misconfigured:
    return Misconfigured(
        f"Offset {offset} of {place.topic}/{place.partition} is not in the log, which has {first} to {end}: "
        "it was shortened or made anew. Start again from one of these offsets."
    )
