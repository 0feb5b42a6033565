"""A table of event ids, each under the tag of its relationship: open-addressed, 12 bytes a slot.

Its slots lie in buckets, which are filled from the left; a full one goes on in the next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.domain.columns.id_chunks import Hashes, Ints

Bools = NDArray[np.bool_]
Tags = NDArray[np.uint32]

OWNER_BITS = 12  # of an owner, which are not its tag
_BUCKET = 8  # slots that are looked at together: one line of the processor's cache
_OWNER_BITS = np.uint32(OWNER_BITS)
_HALF = np.uint64(32)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ / φ, odd: neighbouring tags lie far apart (Knuth, TAOCP 3, 6.4)


class IdTable:
    """Hashes of ids (0: an empty slot), and their owners: a tag, and OWNER_BITS that are somebody else's to use."""

    def __init__(self, slots: int) -> None:
        buckets = max(8, -(-slots // _BUCKET))
        self.hashes: Hashes = np.zeros((buckets, _BUCKET), np.uint64)
        self.owners: Tags = np.zeros((buckets, _BUCKET), np.uint32)
        self.used = 0

    def __len__(self) -> int:
        """How many buckets there are."""
        return len(self.hashes)

    @property
    def size(self) -> int:
        """How many slots there are."""
        return self.hashes.size

    @property
    def nbytes(self) -> int:
        """The memory they take."""
        return self.hashes.nbytes + self.owners.nbytes

    def find(self, hashes: Hashes, tags: Tags) -> Ints:
        """The slots of these ids, -1 where there is none."""
        slots = np.full(len(hashes), -1, np.int64)
        left, bucket = np.arange(len(hashes)), self._home(hashes, tags)
        while len(left):
            lines = self.hashes[bucket]
            same = lines == hashes[left, None]
            some = np.flatnonzero(same.any(axis=1))
            if len(some):
                same[some] &= self.owners[bucket[some]] >> _OWNER_BITS == tags[left[some], None]
                hit = some[same[some].any(axis=1)]
                slots[left[hit]] = bucket[hit] * _BUCKET + same[hit].argmax(axis=1)
            more = (lines[:, -1] != 0) & (slots[left] < 0)
            left, bucket = left[more], (bucket[more] + 1) % len(self)
        return slots

    def place(self, hashes: Hashes, owners: Tags) -> None:
        """Put ids that are not there into the first free slots from their home on; OverflowError without room."""
        if self.used + len(hashes) > self.size:
            raise OverflowError(f"{self.used:,} and {len(hashes):,} more ids are too many for {self.size:,} slots")
        self.used += len(hashes)
        bucket = self._home(hashes, owners >> _OWNER_BITS)
        while len(hashes):
            order = np.argsort(bucket)
            hashes, owners, bucket = hashes[order], owners[order], bucket[order]
            starts = np.flatnonzero(np.r_[True, bucket[1:] != bucket[:-1]])
            rank = np.arange(len(bucket)) - np.repeat(starts, np.diff(np.r_[starts, len(bucket)]))
            slot = np.count_nonzero(self.hashes[bucket], axis=1) + rank
            fits = slot < _BUCKET
            self.hashes[bucket[fits], slot[fits]] = hashes[fits]
            self.owners[bucket[fits], slot[fits]] = owners[fits]
            hashes, owners, bucket = hashes[~fits], owners[~fits], (bucket[~fits] + 1) % len(self)

    def take(self, start: int, end: int) -> tuple[Hashes, Tags]:
        """The ids of these buckets, where they are still found, but counted no longer; and their owners."""
        kept = self.hashes[start:end] != 0
        hashes, owners = self.hashes[start:end][kept], self.owners[start:end][kept]
        self.used -= len(hashes)
        return hashes, owners

    def _home(self, hashes: Hashes, tags: Tags) -> Ints:
        """Where to look first: elsewhere for each relationship, since many may have the same ids."""
        mixed = hashes ^ (tags.astype(np.uint64) * _SPREAD)
        return ((mixed >> _HALF) * np.uint64(len(self)) >> _HALF).astype(np.int64)
