"""Canonical evaluation: what the state rules say of some rows at their due moments, and what that changes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from itertools import takewhile

import numpy as np

from shared.domain.columns.block import Block
from shared.domain.columns.row import Row
from shared.domain.columns.view import View
from shared.domain.contract.days import day_of
from shared.domain.contract.events import DAY, Millis
from shared.domain.playbooks.model import Playbook
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.flags import Cause, Evidence, FlagChange, Rule, Severity, StandingFlag, flag_key
from shared.domain.relationship.state import RelationshipState
from shared.domain.relationship.touchpoints import Touchpoint
from shared.domain.rules.declaration import REASONS, STATE_RULES, Ints, RuleResult
from shared.domain.rules.events import EVENT_RULES, Verdict
from shared.domain.scores.factors import score_columns

ENDED = frozenset({"churned", "ended", "closed", "lost"})  # statuses for which nothing is watched any more
CHANGES_KEPT = 64  # flag changes a state remembers; those of one record stay together, those not told yet stay as well
EVENT_FLAGS_KEPT = 200  # flags raised by events that stand at once; the one that ends first makes room
SCORE_DAYS_KEPT = 32  # days of recorded scores a state carries until its months have them
ACTIVE_DAYS = 400  # a relationship silent for longer is evaluated only when something comes in


def evaluate(block: Block, rows: Sequence[Row], playbook: Playbook, places: Sequence[Fence]) -> None:
    """Evaluate each row at its own due moment (quietly at the end of loaded history, where that is still to come).

    `places`: for each row, the record that made it due.
    """
    at = [_moment(row) for row in rows]
    view = block.view(rows, at)
    suppressed = [row.state.suppressed_until >= moment for row, moment in zip(rows, at, strict=True)]
    found: list[dict[str, tuple[Rule, RuleResult, int]]] = [{} for _ in rows]
    due = np.zeros(len(rows), np.int64)
    for rule, settings in playbook.rules.items():
        if rule in STATE_RULES and settings.enabled:
            result = STATE_RULES[rule].evaluate(view, playbook)
            for entry in np.flatnonzero(result.stays).tolist():
                found[result.position[entry]][flag_key(rule, result.subject[entry])] = (rule, result, entry)
            due = _earlier(due, result.due)
    due = _earlier(due, _daily(view))
    recorded = score_columns(view).rows()
    for position, row in enumerate(rows):
        ended = has_ended(row.state)
        _settle(view, position, {} if ended else found[position], suppressed[position], playbook, places[position])
        scores, _ = recorded[position]
        _record(row, at[position], scores.ri.index, scores.rv.index)
        row.state.evaluated_at = at[position]
        row.state.clock = max(row.state.clock, at[position])
        row.state.next_due_at = 0 if ended else _with_expiries(row, int(due[position]))
        row.changed = True


def _moment(row: Row) -> Millis:
    state = row.state
    return state.suppressed_until if state.suppressed_until > state.evaluated_at else state.next_due_at


def _earlier(one: Ints, other: Ints) -> Ints:
    """The smaller of two moments where both are set, else the one that is."""
    return np.where(one == 0, other, np.where(other == 0, one, np.minimum(one, other)))


def _daily(view: View) -> Ints:
    """The next midnight (UTC), so that scores and windows age, for relationships seen within ACTIVE_DAYS."""
    last = np.fromiter((row.state.last_seen for row in view.rows), np.int64, len(view))
    return np.where(view.at - last < ACTIVE_DAYS * DAY, (view.at // DAY + 1) * DAY, 0)


def _with_expiries(row: Row, due: Millis) -> Millis:
    ends = [flag.until for flag in row.state.flags.values() if flag.until]
    return min([*ends, due] if due else ends, default=0)


def _settle(
    view: View,
    position: int,
    found: dict[str, tuple[Rule, RuleResult, int]],
    suppressed: bool,
    playbook: Playbook,
    place: Fence,
) -> None:
    """Compare what holds with what stands: clear, keep, raise."""
    row, at = view.rows[position], int(view.at[position])
    ended = has_ended(row.state)
    for key, flag in list(row.state.flags.items()):
        expired = flag.until and at >= flag.until
        off = not playbook.rules[Rule(flag.rule)].enabled
        if ended or off or expired or (not flag.until and key not in found):
            change(row, Verdict(Rule(flag.rule), flag.subject, raised=False), at, place, suppressed=suppressed)
    for rule, result, entry in found.values():
        standing = row.state.flags.get(flag_key(rule, result.subject[entry]))
        if not result.fires[entry]:
            continue
        severity = Severity.CRITICAL if result.critical[entry] else Severity.WARNING
        if standing is not None and not _worse(severity, standing.severity):
            continue
        subject = result.subject[entry]
        numbers = {name: round(float(column[entry]), 4) for name, column in result.numbers.items()}
        change(
            row,
            Verdict(rule, subject, raised=True, severity=severity, numbers=numbers),
            at,
            place,
            suppressed=suppressed and not _of_today(row, rule, subject),
            evidence=STATE_RULES[rule].evidence(view, position, subject, numbers),
            reason=REASONS[rule](row, subject, numbers),
            cooldown=round(playbook.rules[rule].cooldown_days * DAY),
        )


def _of_today(row: Row, rule: Rule, subject: str) -> bool:
    """Whether a flag has nothing to do with the history that is being loaded: a promise that did not come with it."""
    return rule is Rule.EXPECTATION_VIOLATED and not row.state.facts.promises[subject].backfill


def _worse(severity: Severity, than: Severity) -> bool:
    order = list(Severity)
    return order.index(severity) > order.index(than)


def has_ended(state: RelationshipState) -> bool:
    """Whether the relationship is over by its status: nothing is watched, and no flag stands."""
    return state.directory.status.lower() in ENDED


def judge(row: Row, touch: Touchpoint, at: Millis, playbook: Playbook, place: Fence) -> str:
    """Let the event rule of a touchpoint, if any, speak at once; the key of the flag it raises, or ""."""
    rule = EVENT_RULES.get(touch.type)
    if rule is None or touch.backfill or touch.retracted or has_ended(row.state):
        return ""
    verdict = rule(touch, row.state, playbook)
    if verdict is None or not playbook.rules[verdict.rule].enabled or (verdict.raised and at >= verdict.until):
        return ""
    cooldown = round(playbook.rules[verdict.rule].cooldown_days * DAY)
    change(row, verdict, at, place, evidence=Evidence(events=(touch.event,)), cooldown=cooldown)
    if not verdict.raised:
        return ""
    raised = flag_key(verdict.rule, verdict.subject)
    _make_room(row, raised, at, place)
    return raised


def _make_room(row: Row, raised: str, at: Millis, place: Fence) -> None:
    """Clear what is beyond EVENT_FLAGS_KEPT: a state has to stay a document of bearable size."""
    others = sorted((flag.until, key) for key, flag in row.state.flags.items() if flag.until and key != raised)
    for _, key in others[: max(0, len(others) + 1 - EVENT_FLAGS_KEPT)]:
        flag = row.state.flags[key]
        change(row, Verdict(Rule(flag.rule), flag.subject, raised=False), at, place)


def change(
    row: Row,
    verdict: Verdict,
    at: Millis,
    place: Fence,
    *,
    suppressed: bool = False,
    evidence: Evidence | None = None,
    reason: str = "",
    cooldown: Millis = 0,
) -> None:
    """Raise or clear a flag of a row, and remember that it happened.

    Within `cooldown` of having been raised it is not raised anew, unless it is worse.
    """
    state = row.state
    key = flag_key(verdict.rule, verdict.subject)
    if verdict.raised and key not in state.flags and cooldown and _raised_since(row, verdict, at - cooldown):
        return
    if not verdict.raised and key not in state.flags:
        return
    same = _changes_by(place, state.changes)
    happened = FlagChange(
        rule=verdict.rule,
        subject=verdict.subject,
        raised=verdict.raised,
        moment=at,
        cause=Cause(place.incarnation, place.partition, place.offset, same),
        severity=verdict.severity,
        reason=reason or verdict.reason,
        numbers=verdict.numbers,
        evidence=evidence or Evidence(),
        suppressed=suppressed,
    )
    unpublished = len(state.changes) - bisect_left(
        state.changes, row.published, key=partial(_offset_in, place.incarnation)
    )
    state.changes = (*state.changes, happened)[-max(CHANGES_KEPT, same + 1, unpublished + 1) :]
    if verdict.raised:
        state.flags = {**state.flags, key: _standing(happened, state.flags.get(key), verdict.until)}
    else:
        state.flags = {name: flag for name, flag in state.flags.items() if name != key}


def _standing(raised: FlagChange, known: StandingFlag | None, until: Millis) -> StandingFlag:
    """The flag that a change raises: it stands since the first of those that raised it."""
    return StandingFlag(
        rule=raised.rule,
        subject=raised.subject,
        severity=raised.severity,
        since=known.since if known is not None else raised.moment,
        reason=raised.reason,
        numbers=raised.numbers,
        evidence=raised.evidence,
        suppressed=raised.suppressed,
        until=until,
    )


def _raised_since(row: Row, verdict: Verdict, since: Millis) -> bool:
    return any(
        past.raised and not past.suppressed and past.moment > since and not _worse(verdict.severity, past.severity)
        for past in remembered(row.state.changes)
        if (past.rule, past.subject) == (verdict.rule, verdict.subject)
    )


def remembered(changes: tuple[FlagChange, ...]) -> tuple[FlagChange, ...]:
    """The changes that verdicts go by, however many more are kept until they are told."""
    same = _changes_by(changes[-1].cause, changes) if changes else 0
    return changes[-max(CHANGES_KEPT, same) :]


def forget_published(row: Row, incarnation: str) -> bool:
    """All changes of a row's flags have been told: let go of those beyond CHANGES_KEPT; whether there were any.

    `incarnation`: of the log being read. Of a row that none of it has been folded into yet, all of it is to be told.
    """
    kept = remembered(row.state.changes)
    row.published = row.state.offset + 1 if row.state.incarnation == incarnation else 0
    if len(kept) == len(row.state.changes):
        return False
    row.state.changes = kept
    row.changed = True
    return True


def _changes_by(cause: Fence | Cause, changes: Sequence[FlagChange]) -> int:
    """How many of them the record there has made, after which no other has made any."""
    here = (cause.incarnation, cause.offset)
    return sum(
        1 for _ in takewhile(lambda past: (past.cause.incarnation, past.cause.offset) == here, reversed(changes))
    )


def _offset_in(incarnation: str, change: FlagChange) -> int:
    """The offset of what has caused it: changes are in the order of the log. -1 in an earlier one than this."""
    return change.cause.offset if change.cause.incarnation == incarnation else -1


def _record(row: Row, at: Millis, ri: float | None, rv: float | None) -> None:
    """Record the day's scores, as of its latest canonical evaluation, where they stay and where they are at hand."""
    day = day_of(at)
    row.record_scores(day, (ri, rv))
    days = {**row.state.score_days, str(day): (ri, rv)}
    row.state.score_days = dict(list(days.items())[-SCORE_DAYS_KEPT:])


def next_boundary(at: Millis, grain: Millis) -> Millis:
    """The first full grain (hour) after `at`."""
    return (at // grain + 1) * grain
