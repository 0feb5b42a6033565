"""Towards the log: as many messages as may wait, and not one more, so that a slow broker is felt by the senders."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from services.ingest.deadline import Deadline
from shared.domain.errors import Unavailable
from shared.stream.ports import Message, Publisher

Parts = Mapping[tuple[str, int], Sequence[Message]]
"""What to append, by topic and partition."""

MAX_WAITING_BYTES = 64 * 1024 * 1024
DEADLINE_SECONDS = 10.0


class Busy(Unavailable):
    """Too much waits for the broker already; nothing of this was sent."""


class Outbound:
    """Publishes to several partitions at once, within bounds. Joining small batches is the publisher's doing."""

    def __init__(
        self, publisher: Publisher, *, max_bytes: int = MAX_WAITING_BYTES, deadline: float = DEADLINE_SECONDS
    ) -> None:
        self._publisher = publisher
        self._max_bytes = max_bytes
        self._deadline = Deadline(deadline)
        self._waiting = 0
        self.written: dict[tuple[str, int], int] = {}  # by topic and partition: the offset after our last record

    @property
    def waiting_bytes(self) -> int:
        """Bytes handed to the publisher and not yet acknowledged."""
        return self._waiting

    async def put(self, parts: Parts) -> None:
        """Return when the broker has all of it. Raises Unavailable: then some of it may be in the log already."""
        size = 0
        for messages in parts.values():
            for message in messages:
                size += len(message.value)
        if self._waiting and self._waiting + size > self._max_bytes:
            raise Busy("More events wait for the broker than may: send more slowly.")
        self._waiting += size
        try:
            await self._deadline.within(self._publish(parts))
        except TimeoutError as error:
            raise Unavailable(f"The broker has not answered within {self._deadline.seconds:.0f} s.") from error
        finally:
            self._waiting -= size

    async def _publish(self, parts: Parts) -> None:
        if len(parts) == 1:  # a task would cost more than all the rest here
            [((topic, partition), messages)] = parts.items()
            await self._append(topic, partition, messages)
            return
        tasks = [self._append(topic, partition, messages) for (topic, partition), messages in parts.items()]
        # All are awaited, whichever fails first: nothing may still be under way when its sender is told to try again.
        for answer in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    async def _append(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        first = await self._publisher.publish(topic, partition, messages)
        end = first + len(messages)
        self.written[topic, partition] = max(end, self.written.get((topic, partition), 0))
