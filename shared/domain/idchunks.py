"""Event ids of a relationship as they are stored: chunks of a day's ids, each in parts of what was written together."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.domain.events import DAY, Millis
from shared.domain.fence import Fence

Hashes = NDArray[np.uint64]
Ints = NDArray[np.int64]

CHUNK_IDS = 1024  # a chunk is sealed when it is this full, or when a new day begins
CHUNKS_A_DAY = 100_000  # chunk number = day × this + sequence within the day

HASH, OFFSET, RECEIVED = range(3)
Seen = NDArray[np.uint64]
"""Ids that have counted, one a line: its hash, the offset of its event, and when that was received (ms)."""


def seen(hashes: Sequence[int], offsets: Sequence[int], received: Sequence[Millis]) -> Seen:
    """These ids as one array."""
    ids: Seen = np.empty((len(hashes), 3), np.uint64)
    ids[:, HASH], ids[:, OFFSET], ids[:, RECEIVED] = hashes, offsets, received
    return ids


class IdChunk:
    """Ids of one relationship as they are stored: how many it holds, and those that are not stored yet."""

    __slots__ = ("count", "fence", "new", "newest", "number", "rev")

    def __init__(self, number: int, rev: int = 0, count: int = 0, newest: Millis = 0) -> None:
        self.number = number
        self.rev = rev
        self.count = count
        self.newest = newest
        self.fence = Fence()
        self.new: list[Seen] = []

    def add(self, ids: Seen, log: Fence) -> None:
        """Take some more in, which were read from this log (its incarnation and partition)."""
        self.new.append(ids)
        self.count += len(ids)
        self.newest = max(self.newest, int(ids[:, RECEIVED].max()))
        self.fence = Fence(log.incarnation, log.partition, int(ids[-1, OFFSET]))

    def fields(self) -> dict[str, Any]:
        """What is to be written of the chunk's document: the new ids as a part of their own."""
        ids = self.new[0] if len(self.new) == 1 else np.concatenate(self.new)
        part = f"parts.o{ids[0, OFFSET]}"
        return {"number": self.number, "count": self.count, "newest": self.newest, part: pack(ids)}


def pack(ids: Seen) -> str:
    """Hashes and offsets (from the first on) of 8 and 4 bytes each, little-endian, as base64."""
    offsets = ids[:, OFFSET] - ids[0, OFFSET]
    return b64encode(ids[:, HASH].astype("<u8").tobytes() + offsets.astype("<u4").tobytes()).decode()


def unpack(part: str, packed: str) -> tuple[Hashes, Ints]:
    """The hashes and offsets in a part of a chunk's document."""
    raw = b64decode(packed)
    count = len(raw) // 12
    offsets = np.frombuffer(raw, "<u4", count, count * 8).astype(np.int64) + int(part[1:])
    return np.frombuffer(raw, "<u8", count), offsets


def chunked(chunks: list[IdChunk], ids: Seen, log: Fence) -> None:
    """Put new ids of a relationship into the last of its chunks as far as there is room, then into new ones.

    `log`: incarnation and partition they were read from.
    """
    received = ids[:, RECEIVED]
    at = 0
    while at < len(ids):
        chunk = _open(chunks, int(received[at]) // DAY, log)
        end = min(len(ids), at + CHUNK_IDS - chunk.count)
        midnight = (chunk.number // CHUNKS_A_DAY + 1) * DAY
        later = received[at:end] >= midnight
        if later.any():
            end = at + int(later.argmax())
        chunk.add(ids[at:end], log)
        at = end


def _open(chunks: list[IdChunk], day: int, log: Fence) -> IdChunk:
    """The chunk for an id of this day: offsets of two logs do not go together."""
    last = chunks[-1] if chunks else None
    if (
        last is not None
        and last.number // CHUNKS_A_DAY >= day
        and last.count < CHUNK_IDS
        and (last.fence.incarnation, last.fence.partition) == (log.incarnation, log.partition)
    ):
        return last
    number = day * CHUNKS_A_DAY
    chunks.append(IdChunk(number if last is None or last.number < number else last.number + 1))
    return chunks[-1]
