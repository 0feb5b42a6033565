"""The rows of the portfolio in a compact form: words as indexes, the sparkline as one character a day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from services.api.confidence import ri_confidence, standing
from shared.domain.relationship.state import RelationshipState

SPARK = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+/"

_RANK = {"critical": 0, "warning": 1, "info": 2}


class Row(msgspec.Struct, frozen=True, array_like=True):
    """What the portfolio shows of a relationship: `band` as it is called there, or "little" (see `standing`).

    `worst` ranks its worst flag (0 critical … 2), `seen` is in ms.
    """

    id: str
    name: str
    kind: str
    segment: str
    owner: str
    band: str
    ri: float | None
    rv: float | None
    flags: int
    worst: int
    seen: int
    spark: str


def row_of(state: RelationshipState) -> Row:
    """The row of a relationship."""
    directory, scores = state.directory, state.scores
    ranks = [_RANK.get(flag.severity, 2) for flag in state.flags.values()]
    return Row(
        state.relationship,
        directory.name,
        directory.kind,
        directory.segment,
        directory.owner,
        standing(scores.ri, ri_confidence(state)),
        _rounded(scores.ri.index),
        _rounded(scores.rv.index),
        len(ranks),
        min(ranks, default=2),
        state.last_seen,
        spark_text(state.spark),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def spark_text(values: Sequence[float]) -> str:
    """One character a day, 0 to 63 of the busiest day; any activity shows as at least 1."""
    top = max(values, default=0.0)
    if top <= 0:
        return ""
    return "".join(SPARK[max(round(63 * value / top), 1 if value > 0 else 0)] for value in values)


class Packed(msgspec.Struct, frozen=True):
    """Rows as they travel: kind, segment, owner and band are indexes into `words`; `seq` orders packets.

    `more`: the portfolio is still being read, and further rows follow.
    """

    seq: int
    words: list[str]
    rows: list[tuple[object, ...]]
    more: bool = False


def pack(rows: Iterable[Row], seq: int, more: bool = False) -> Packed:
    """Rows in their compact form."""
    index: dict[str, int] = {}

    def at(word: str) -> int:
        return index.setdefault(word, len(index))

    packed: list[tuple[object, ...]] = [
        (
            row.id,
            row.name,
            at(row.kind),
            at(row.segment),
            at(row.owner),
            at(row.band),
            row.ri,
            row.rv,
            row.flags,
            row.worst,
            row.seen,
            row.spark,
        )
        for row in rows
    ]
    return Packed(seq, list(index), packed, more)
