"""What Rapport asks of its log. Implemented in memory (`memory.py`) and on Kafka (`kafka.py` and its parts)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

import msgspec

from shared.domain.contract.events import Millis

Headers = tuple[tuple[str, bytes], ...]


class Message(msgspec.Struct, frozen=True, gc=False):
    """What is appended: key and value bytes, headers, and the record's timestamp (ms)."""

    value: bytes
    key: bytes | None = None
    headers: Headers = ()
    timestamp: Millis | None = None


class Record(msgspec.Struct, frozen=True, gc=False):
    """What is read back."""

    offset: int
    timestamp: Millis
    key: bytes | None
    value: bytes
    headers: Headers = ()


class Batch(msgspec.Struct, frozen=True, gc=False):
    """The records of one fetch of one partition, in order. `end` is the partition's high watermark."""

    topic: str
    partition: int
    records: Sequence[Record]
    end: int


class Publisher(Protocol):
    """Appends to topics. When a call returns, the broker has the messages (acks=all)."""

    async def publish(self, topic: str, partition: int, messages: Sequence[Message]) -> int:
        """Append to a partition in order; the offset of the first.

        Raises Unavailable if the broker is silent, and ValueError without a message.
        """
        ...

    async def close(self) -> None: ...


class LogReader(Protocol):
    """Reads a partition without a consumer group."""

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset there is, and the one after the last. Raises Unavailable."""
        ...

    def read(self, topic: str, partition: int, offset: int, *, follow: bool) -> AsyncIterator[Record]:
        """Records from `offset` on; with `follow` it waits for more for ever, without it ends at the present end."""
        ...

    async def close(self) -> None: ...


class Processor(Protocol):
    """What a member of a consumer group does with its partitions. Calls never overlap."""

    async def assigned(self, partitions: Sequence[int]) -> None:
        """These partitions of the topic are ours from now on."""
        ...

    async def apply(self, batch: Batch) -> int:
        """Take the next records of a partition; how many events that were. Raising ends the process."""
        ...

    def full(self) -> bool:
        """Whether a flush is to come before the next batch."""
        ...

    @property
    def behind(self) -> bool:
        """Whether something that was applied is still to be worked off, in slices."""
        ...

    async def advance(self) -> None:
        """Work off a slice of that; called while `behind`, with batches taken in between."""
        ...

    async def flush(self) -> Mapping[int, int] | None:
        """Store a part of what was applied; None while there is more, else the next offset to read, by partition.

        The first part begins a flush: what is applied after it need not be stored by the last, and the offsets do not
        count it. Batches may be applied between two parts. Called every interval, and idle.
        """
        ...

    async def revoked(self, partitions: Sequence[int]) -> None:
        """These partitions are no longer ours; what was not flushed is to be forgotten, with any flush under way."""
        ...


class NeverBehind:
    """For processors that work off at once what they apply."""

    behind = False

    async def advance(self) -> None:
        """Never called."""
        raise AssertionError("nothing is left to be worked off")


class GroupMember(Protocol):
    """Runs a processor as a member of a consumer group until it is stopped or crashes."""

    async def run(self) -> None: ...

    async def stop(self) -> None: ...
