"""What scoring says after a flush: one record a partition on `rapport.updates`."""

from __future__ import annotations

from collections.abc import Iterable

from shared.domain.block import Row
from shared.domain.events import Millis
from shared.domain.fence import Fence
from shared.domain.relationship import Head
from shared.domain.verdicts import Cause, Update, UpdateBatch

UPDATES_A_RECORD = 200  # of about 0.3 KB, up to 4 KB with flag changes: a broker takes records of 1 MB


def told_since(head: Head, since: Fence) -> Update:
    """The update of one relationship: its scores, and the flag changes from `since` (incarnation, offset) on."""
    changes = tuple(
        change
        for change in head.changes
        if change.cause.incarnation == since.incarnation and change.cause.offset >= since.offset
    )
    return Update(
        tenant=head.tenant,
        relationship=head.relationship,
        name=head.directory.name or head.relationship,
        owner=head.directory.owner,
        kind=head.directory.kind,
        segment=head.directory.segment,
        at=head.clock,
        cause=Cause(head.incarnation, head.partition, head.offset),
        ri=head.scores.ri.index,
        rv=head.scores.rv.index,
        band=head.scores.ri.band,
        changes=changes,
    )


def update_batches(rows: Iterable[Row], since: Fence, stored_at: Millis, received: Millis) -> list[UpdateBatch]:
    """The updates of one partition, for everything it touched since its last flush, in records of bearable size."""
    updates = [told_since(row.head, since) for row in rows]
    return [
        UpdateBatch(tuple(updates[start : start + UPDATES_A_RECORD]), stored_at, received)
        for start in range(0, len(updates), UPDATES_A_RECORD)
    ]
