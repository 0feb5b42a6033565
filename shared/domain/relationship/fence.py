"""The fence of a stored document: how far into which log it has been folded, and who wrote it last."""

from __future__ import annotations

from typing import Protocol

import msgspec


class OfLog(Protocol):
    """Whatever knows which partition of which incarnation it comes from."""

    @property
    def incarnation(self) -> str: ...

    @property
    def partition(self) -> int: ...


def same_log(one: OfLog, other: OfLog) -> bool:
    """Whether both come from one partition of one incarnation: only then do their positions go together."""
    return one.partition == other.partition and one.incarnation == other.incarnation


EVENTS_A_RECORD = 1 << 16


def position_of(offset: int, place: int = 0) -> int:
    """The position of the event at a place of the record at an offset; that of a whole record is its first."""
    return offset * EVENTS_A_RECORD + place


def offset_of(position: int) -> int:
    """The offset of the record that a position lies in."""
    return position // EVENTS_A_RECORD


class Fence(msgspec.Struct, frozen=True, order=True):
    """A place in a log: the incarnation of the topic, the partition and the position in it."""

    incarnation: str = ""
    partition: int = -1
    position: int = -1


class Fenced(msgspec.Struct, kw_only=True):
    """Every document that scoring writes is a pure function of the log up to its own `position`.

    `rev` counts its writes and is what writers compare and set; `writer` is the worker that wrote it last.
    """

    id: str
    incarnation: str = ""
    partition: int = -1
    position: int = -1
    rev: int = 0
    writer: str = ""
