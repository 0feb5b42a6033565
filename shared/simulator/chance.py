"""Chance that can be repeated: numbers drawn from what they are for, so that a day's plan needs no other day's."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


def chance(*what: object) -> float:
    """A number in [0, 1), always the same for the same `what`."""
    digest = blake2b("/".join(map(str, what)).encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 2**56


def between(low: float, high: float, *what: object) -> float:
    """A number in [low, high)."""
    return low + (high - low) * chance(*what)


def pick(items: Sequence[T], *what: object) -> T:
    """One of the items."""
    return items[int(chance(*what) * len(items))]
