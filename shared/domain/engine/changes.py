"""Flags are raised, kept up to date and cleared, and it is remembered that they were."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import takewhile

import msgspec

from shared.domain.columns.row import Row
from shared.domain.contract.days import day_name, day_of
from shared.domain.contract.events import Millis
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.flags import (
    TAKEN_AWAY,
    Cause,
    Evidence,
    FlagChange,
    Severity,
    StandingFlag,
    Why,
    flag_key,
)

CHANGES_KEPT = 64  # flag changes a state remembers; those of one record stay together, unpublished ones stay as well

_ORDER = tuple(Severity)


class Raised(msgspec.Struct, frozen=True, kw_only=True):
    """A flag as a rule wants it to stand; `suppressed`: nobody is to be alerted; `until`: it ends by itself then."""

    rule: str
    subject: str
    severity: Severity
    reason: str
    numbers: dict[str, float]
    evidence: Evidence
    suppressed: bool = False
    until: Millis = 0

    @property
    def key(self) -> str:
        """The key of the flag among those that stand."""
        return flag_key(self.rule, self.subject)


def raise_flag(row: Row, flag: Raised, at: Millis, place: Fence, cooldown: Millis = 0) -> Millis:
    """Raise a flag, or raise it again otherwise; 0.

    Within `cooldown` of having been raised it is not raised anew, unless it is worse; the moment when that is over.
    """
    known = row.state.flags.get(flag.key)
    if known is None and cooldown and (last := _raised_last(row, flag)) + cooldown > at:
        return last + cooldown
    change = FlagChange(
        rule=flag.rule,
        subject=flag.subject,
        raised=True,
        moment=at,
        cause=_cause(row, place),
        severity=flag.severity,
        reason=flag.reason,
        numbers=flag.numbers,
        evidence=flag.evidence,
        suppressed=flag.suppressed,
    )
    _remember(row, change)
    since, alerted = (at, False) if known is None else (known.since, not known.suppressed)
    standing = StandingFlag(
        rule=flag.rule,
        subject=flag.subject,
        severity=flag.severity,
        since=since,
        reason=flag.reason,
        numbers=flag.numbers,
        evidence=flag.evidence,
        suppressed=flag.suppressed and not alerted,
        until=flag.until,
        cause=change.cause,
    )
    row.state.flags = {**row.state.flags, flag.key: standing}
    return 0


def keep_fresh(row: Row, key: str, reason: str, numbers: dict[str, float], evidence: Evidence, place: Fence) -> None:
    """A flag stands on, in other words than before."""
    known = row.state.flags[key]
    renewed = msgspec.structs.replace(
        known, reason=reason, numbers=numbers, evidence=evidence, cause=_cause(row, place)
    )
    row.state.flags = {**row.state.flags, key: renewed}


def clear_flag(row: Row, key: str, at: Millis, place: Fence, why: Why, *, suppressed: bool = False) -> None:
    """Clear a flag; nothing happens if it does not stand."""
    flag = row.state.flags.get(key)
    if flag is None:
        return
    cause = _cause(row, place)
    _remember(row, FlagChange(flag.rule, flag.subject, False, moment=at, cause=cause, suppressed=suppressed, why=why))
    row.state.flags = {name: other for name, other in row.state.flags.items() if name != key}


def taken_away(row: Row, flag: Raised) -> FlagChange | None:
    """How the same flag stood when it was taken away without having ended; None where this one says something new.

    It does not where it rests on the same event, or on days of use from before that.
    """
    past = _latest_first(row, flag)
    cleared, raised = next(past, None), list(takewhile(lambda change: change.raised, past))
    if cleared is None or cleared.why not in TAKEN_AWAY or not raised:
        return None
    day, stood = day_name(day_of(cleared.moment)), raised[0]
    days = any(counter.day <= day for counter in flag.evidence.counters)
    if not days and set(stood.evidence.events).isdisjoint(flag.evidence.events):
        return None
    return msgspec.structs.replace(stood, suppressed=all(change.suppressed for change in raised))


def is_worse(severity: Severity, than: Severity) -> bool:
    """Whether one severity is more urgent than another."""
    return _ORDER.index(severity) > _ORDER.index(than)


def remembered(changes: tuple[FlagChange, ...]) -> tuple[FlagChange, ...]:
    """The changes that rules go by, however many more are kept until they are published."""
    same = _changes_by(changes[-1].cause, changes) if changes else 0
    return changes[-max(CHANGES_KEPT, same) :]


def forget_published(row: Row, incarnation: str) -> bool:
    """All changes of a row's flags have been published: let go of those beyond CHANGES_KEPT; whether there were any.

    `incarnation`: of the log being read. Of a row that none of it has been folded into yet, all of it is unpublished.
    """
    kept = remembered(row.state.changes)
    row.published = row.state.position + 1 if row.state.incarnation == incarnation else 0
    if len(kept) == len(row.state.changes):
        return False
    row.state.changes = kept
    row.changed = True
    return True


def _cause(row: Row, place: Fence) -> Cause:
    return Cause(place.incarnation, place.partition, place.position, _changes_by(place, row.state.changes))


def _remember(row: Row, change: FlagChange) -> None:
    state, cause = row.state, change.cause
    unpublished = len(state.changes) - bisect_left(
        state.changes, row.published, key=partial(_position_in, cause.incarnation)
    )
    state.changes = (*state.changes, change)[-max(CHANGES_KEPT, cause.step + 1, unpublished + 1) :]


def _raised_last(row: Row, flag: Raised) -> Millis:
    """When the same flag, at least as bad, was last raised so that somebody was alerted; long ago if it never was.

    One that was taken away does not count: what it said has not ended, and may be said again at once.
    """
    counts = True
    for past in _latest_first(row, flag):
        if not past.raised:
            counts = past.why not in TAKEN_AWAY
        elif counts and not past.suppressed and not is_worse(flag.severity, past.severity):
            return past.moment
    return -(1 << 62)


def _latest_first(row: Row, flag: Raised) -> Iterator[FlagChange]:
    """What has become of the same flag before, as far as that is remembered."""
    same = (flag.rule, flag.subject)
    return (past for past in reversed(remembered(row.state.changes)) if (past.rule, past.subject) == same)


def _changes_by(cause: Fence | Cause, changes: Sequence[FlagChange]) -> int:
    """How many of them the record there has made, after which no other has made any."""
    here = (cause.incarnation, cause.position)
    return sum(
        1 for _ in takewhile(lambda past: (past.cause.incarnation, past.cause.position) == here, reversed(changes))
    )


def _position_in(incarnation: str, change: FlagChange) -> int:
    """The position of what has caused it: changes are in the order of the log. -1 in an earlier one than this."""
    return change.cause.position if change.cause.incarnation == incarnation else -1
