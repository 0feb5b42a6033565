"""Event ids that have counted: 64-bit hashes with the offset and receipt of the event, in chunks by day of receipt.

A duplicate is an id seen at a smaller offset within the window; the same id at the same offset is a redelivery of the
same record. Two different ids of one relationship share a hash with probability n²/2⁶⁵ for n ids in the window: below
10⁻⁹ for up to 190,000 ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

from shared.domain.events import DAY, Millis
from shared.domain.fence import Fence

CHUNK_IDS = 1024  # a chunk is sealed when it is this full, or when a new day begins
CHUNKS_A_DAY = 100_000  # chunk number = day × this + sequence within the day


def id_hash(event_key: str) -> int:
    """64 signed bits of BLAKE2b over the event's key."""
    return int.from_bytes(blake2b(event_key.encode(), digest_size=8).digest(), "little", signed=True)


class IdChunk:
    """One chunk while in memory: entries of (hash, offset, receipt in ms), and its own fence."""

    __slots__ = ("changed", "entries", "fence", "number", "rev")

    def __init__(self, number: int, rev: int = 0, fence: Fence | None = None) -> None:
        self.number = number
        self.rev = rev
        self.fence = fence or Fence()
        self.entries: list[tuple[int, int, Millis]] = []
        self.changed = False

    def fields(self) -> dict[str, Any]:
        """As the chunk's document holds it."""
        return {
            "number": self.number,
            "hashes": [entry[0] for entry in self.entries],
            "offsets": [entry[1] for entry in self.entries],
            "received": [entry[2] for entry in self.entries],
            "newest": max(entry[2] for entry in self.entries),
        }


class SeenIds:
    """The ids of one relationship within the window."""

    __slots__ = ("_chunks", "_where")

    def __init__(self) -> None:
        self._where: dict[int, tuple[str, int, Millis]] = {}
        self._chunks: list[IdChunk] = []

    def load(self, chunks: Iterable[IdChunk]) -> None:
        """Take stored chunks in, in the order of their numbers."""
        for chunk in sorted(chunks, key=lambda chunk: chunk.number):
            self._chunks.append(chunk)
            for key, offset, received in chunk.entries:
                self._where[key] = (chunk.fence.incarnation, offset, received)

    def is_duplicate(self, key: int, fence: Fence, received: Millis, window: Millis) -> bool:
        """Whether this id has counted at an earlier place of the log, within the window."""
        seen = self._where.get(key)
        if seen is None or received - seen[2] > window:
            return False
        return seen[0] != fence.incarnation or seen[1] < fence.offset

    def add(self, key: int, fence: Fence, received: Millis) -> None:
        """Remember an id; the redelivery of what is remembered from there or from further on changes nothing."""
        seen = self._where.get(key)
        if seen is not None and seen[0] == fence.incarnation and seen[1] >= fence.offset:
            return
        self._where[key] = (fence.incarnation, fence.offset, received)
        chunk = self._open_chunk(received // DAY, fence)
        chunk.entries.append((key, fence.offset, received))
        chunk.fence = fence
        chunk.changed = True

    def changed(self) -> list[IdChunk]:
        """Chunks that differ from what is stored."""
        return [chunk for chunk in self._chunks if chunk.changed]

    def expire(self, before: Millis) -> None:
        """Forget sealed chunks whose newest id was received before this."""
        kept = [
            chunk
            for chunk in self._chunks
            if chunk.changed or chunk is self._chunks[-1] or max(entry[2] for entry in chunk.entries) >= before
        ]
        if len(kept) != len(self._chunks):
            self._chunks = kept
            remembered = {entry[0] for chunk in kept for entry in chunk.entries}
            self._where = {key: seen for key, seen in self._where.items() if key in remembered}

    def _open_chunk(self, day: int, fence: Fence) -> IdChunk:
        last = self._chunks[-1] if self._chunks else None
        if (
            last is not None
            and last.number // CHUNKS_A_DAY >= day
            and len(last.entries) < CHUNK_IDS
            and last.fence.incarnation == fence.incarnation  # offsets of two logs do not compare
        ):
            return last
        number = day * CHUNKS_A_DAY
        if last is not None and last.number >= number:
            number = last.number + 1
        chunk = IdChunk(number)
        self._chunks.append(chunk)
        return chunk
