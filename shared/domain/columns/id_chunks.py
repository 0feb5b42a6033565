"""Event ids of a relationship as they are stored: chunks of a day's ids, each in parts of what was written together."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.domain.contract.events import DAY, Millis
from shared.domain.relationship.fence import Fence, same_log

Hashes = NDArray[np.uint64]
Ints = NDArray[np.int64]

CHUNK_IDS = 1024  # a chunk is sealed when it is this full, or when a new day begins
CHUNKS_A_DAY = 100_000  # chunk number = day × this + sequence within the day

HASH, POSITION, RECEIVED = range(3)
IdBatch = NDArray[np.uint64]
"""Ids that have counted, one a line: its hash, the position of its event, and when that was received (ms)."""


def seen(hashes: Sequence[int], positions: Sequence[int], received: Sequence[Millis]) -> IdBatch:
    """These ids as one array."""
    ids: IdBatch = np.empty((len(hashes), 3), np.uint64)
    ids[:, HASH], ids[:, POSITION], ids[:, RECEIVED] = hashes, positions, received
    return ids


class IdChunk:
    """Ids of one relationship as they are stored: how many it holds, and the parts that are not stored yet."""

    __slots__ = ("count", "fence", "new", "newest", "number", "rev")

    def __init__(self, number: int, rev: int = 0, count: int = 0, newest: Millis = 0) -> None:
        self.number = number
        self.rev = rev
        self.count = count
        self.newest = newest
        self.fence = Fence()
        self.new: dict[str, str] = {}  # name of a part → its ids, packed

    @property
    def midnight(self) -> Millis:
        """The end of its day."""
        return (self.number // CHUNKS_A_DAY + 1) * DAY

    def add(self, part: Part) -> None:
        """Take some more in."""
        self.new[f"o{part.first}"] = part.packed
        self.count += part.size
        self.newest = max(self.newest, part.newest)
        self.fence = part.fence

    def fields(self) -> dict[str, Any]:
        """What is to be written of the chunk's document."""
        new = {f"parts.{name}": packed for name, packed in self.new.items()}
        return {"number": self.number, "count": self.count, "newest": self.newest, **new}


class Part(NamedTuple):
    """Ids written together: hashes and positions (from the first on) of 8 bytes each, little-endian, in base64.

    `first`: the position of the first; `newest`: the last moment of receipt; `fence`: the place of the last one.
    """

    packed: str
    first: int
    size: int
    newest: Millis
    fence: Fence


def part_of(ids: IdBatch, log: Fence) -> Part:
    """These ids, which were read from this log (its incarnation and partition), as a part."""
    return parts_of(ids, [0], [log])[0]


def parts_of(ids: IdBatch, starts: Sequence[int], logs: Sequence[Fence]) -> list[Part]:
    """A part of the ids from each of these places to the next, and the log that they were read from."""
    ends = [*starts[1:], len(ids)]
    positions = ids[:, POSITION]
    first, last = positions[np.array(starts)], positions[np.array(ends) - 1]
    hashes = ids[:, HASH].astype("<u8").tobytes()
    distances = (positions - np.repeat(first, np.diff([*starts, len(ids)]))).astype("<u8").tobytes()
    newest = np.maximum.reduceat(ids[:, RECEIVED], starts)
    return [
        Part(
            b64encode(hashes[8 * start : 8 * end] + distances[8 * start : 8 * end]).decode(),
            first_position,
            end - start,
            received,
            Fence(log.incarnation, log.partition, position),
        )
        for start, end, first_position, position, received, log in zip(
            starts, ends, first.tolist(), last.tolist(), newest.tolist(), logs, strict=True
        )
    ]


def unpack(part: str, packed: str) -> tuple[Hashes, Ints]:
    """The hashes and positions in a part of a chunk's document."""
    raw = b64decode(packed)
    count = len(raw) // 16
    positions = np.frombuffer(raw, "<u8", count, count * 8).astype(np.int64) + int(part[1:])
    return np.frombuffer(raw, "<u8", count), positions


class Unsaved(NamedTuple):
    """New ids of a relationship, the chunks that take them, and the log they were read from."""

    chunks: list[IdChunk]
    ids: list[IdBatch]
    log: Fence


def chunk_all(relationships: Sequence[Unsaved]) -> None:
    """Put new ids of relationships, each of which has some, into chunks: see `chunked`."""
    if not relationships:
        return
    counts = [sum(map(len, one.ids)) for one in relationships]
    ids = np.concatenate([piece for one in relationships for piece in one.ids])
    starts = [0, *accumulate(counts[:-1])]
    days = (ids[starts, RECEIVED] // np.uint64(DAY)).tolist()
    parts = parts_of(ids, starts, [one.log for one in relationships])
    for one, start, day, part in zip(relationships, starts, days, parts, strict=True):
        chunk = _open(one.chunks, day, one.log)
        if chunk.count + part.size <= CHUNK_IDS and part.newest < chunk.midnight:
            chunk.add(part)
        else:
            chunked(one.chunks, ids[start : start + part.size], one.log)


def chunked(chunks: list[IdChunk], ids: IdBatch, log: Fence) -> None:
    """Put new ids of a relationship into the last of its chunks as far as there is room, then into new ones.

    `log`: incarnation and partition they were read from.
    """
    received = ids[:, RECEIVED]
    at = 0
    while at < len(ids):
        chunk = _open(chunks, int(received[at]) // DAY, log)
        end = min(len(ids), at + CHUNK_IDS - chunk.count)
        later = received[at:end] >= chunk.midnight
        if later.any():
            end = at + int(later.argmax())
        chunk.add(part_of(ids[at:end], log))
        at = end


def _open(chunks: list[IdChunk], day: int, log: Fence) -> IdChunk:
    """The chunk for an id of this day: positions of two logs do not go together."""
    last = chunks[-1] if chunks else None
    if last is not None and last.number // CHUNKS_A_DAY >= day and last.count < CHUNK_IDS and same_log(last.fence, log):
        return last
    number = day * CHUNKS_A_DAY
    number = number if last is None or last.number < number else last.number + 1
    chunk = IdChunk(number, newest=number // CHUNKS_A_DAY * DAY)  # it is found as long as others of its day are
    chunk.fence = Fence(log.incarnation, log.partition)
    chunks.append(chunk)
    return chunk
