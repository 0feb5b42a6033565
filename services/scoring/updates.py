"""What scoring says after a flush: a record a partition on `rapport.updates`, or several if there is much to say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from shared import wire
from shared.domain.columns.row import Row
from shared.domain.contract.events import Millis
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.flags import Cause, FlagChange, StandingFlag, Update, UpdateBatch
from shared.domain.relationship.state import RelationshipState

RECORD_BYTES = 500_000  # a broker takes records of 1 MB


def published_since(state: RelationshipState, since: Fence) -> Update:
    """The update of one relationship: its scores, and the flag changes from `since` (incarnation, position) on."""
    changes = tuple(
        change
        for change in state.changes
        if change.cause.incarnation == since.incarnation and change.cause.position >= since.position
    )
    return Update(
        tenant=state.tenant,
        relationship=state.relationship,
        name=state.directory.name or state.relationship,
        owner=state.directory.owner,
        kind=state.directory.kind,
        segment=state.directory.segment,
        at=state.clock,
        cause=Cause(state.incarnation, state.partition, state.position),
        ri=state.scores.ri.index,
        rv=state.scores.rv.index,
        band=state.scores.ri.band,
        changes=changes,
        standing=_renewed(state, changes, since),
    )


def _renewed(state: RelationshipState, changes: Sequence[FlagChange], since: Fence) -> tuple[StandingFlag, ...]:
    """The flags that have got other words since, and stand as they were otherwise."""
    raised = {(change.rule, change.subject, change.cause) for change in changes}
    return tuple(
        flag
        for flag in state.flags.values()
        if flag.cause.incarnation == since.incarnation
        and flag.cause.position >= since.position
        and (flag.rule, flag.subject, flag.cause) not in raised
    )


def published_last(state: RelationshipState) -> Update:
    """The update of one relationship with what has last changed about its flags: all of that log's incarnation.

    Not of earlier ones: told again, they would come after what has superseded them.
    """
    return published_since(state, Fence(state.changes[-1].cause.incarnation))


def update_batches(rows: Iterable[Row], since: Fence, stored_at: Millis, received: Millis) -> list[UpdateBatch]:
    """The updates of one partition, for everything it touched since it last told, in records of bearable size."""
    return batches_of((published_since(row.state, since) for row in rows), stored_at, received)


def batches_of(updates: Iterable[Update], stored_at: Millis, received: Millis) -> list[UpdateBatch]:
    """These updates of one partition in records of bearable size."""
    records: list[list[Update]] = []
    room = 0
    for whole in updates:
        for update, size in _pieces(whole):
            if size > room:
                records.append([])
                room = RECORD_BYTES
            records[-1].append(update)
            room -= size
    return [UpdateBatch(tuple(updates), stored_at, received) for updates in records]


def _pieces(update: Update) -> list[tuple[Update, int]]:
    """The update and its size; one that is too large in several, each with a part of what it says of flags."""
    size = len(wire.encode(update)) + 1
    said: list[FlagChange | StandingFlag] = [*update.changes, *update.standing]
    if size <= RECORD_BYTES or len(said) < 2:
        return [(update, size)]
    half = len(said) // 2
    return [piece for part in (said[:half], said[half:]) for piece in _pieces(_with(update, part))]


def _with(update: Update, said: Sequence[FlagChange | StandingFlag]) -> Update:
    return msgspec.structs.replace(
        update,
        changes=tuple(one for one in said if isinstance(one, FlagChange)),
        standing=tuple(one for one in said if isinstance(one, StandingFlag)),
    )
