"""The life of an alert: what a verdict or a person does to it, and which of its entries somebody is told about.

One open alert a fingerprint: open → acknowledged → resolved (by hand, or by "rapport" when its flag is cleared)
→ open again in a new episode when it is raised once more.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec.structs import replace

from shared.domain.alerts.alert import Alert, AlertEntry, AlertState
from shared.domain.contract.events import Millis
from shared.domain.relationship.flags import Cause, FlagChange, Severity, StandingFlag, Update, fingerprint

RAPPORT = "rapport"  # who acted, when it was nobody
TIMELINE_LIMIT = 200
TIMELINE_BYTES = 256 * 1024  # of the timeline as JSON, so that an alert always fits into a message

_RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


class What(StrEnum):
    """What an entry of an alert's timeline says has happened."""

    OPENED = "opened"
    ESCALATED = "escalated"
    CLEARED = "cleared"
    REOPENED = "reopened"
    UPDATED = "updated"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    COMMENTED = "commented"


TOLD = frozenset({What.OPENED, What.ESCALATED, What.CLEARED, What.REOPENED})  # these are delivered to channels


class Refused(Exception):
    """A person asked for what an alert in this state does not allow; the message says why."""


class Transition(msgspec.Struct, frozen=True):
    """The alert after a verdict, and the closed episode to archive if a new one has begun."""

    alert: Alert
    archived: Alert | None = None


class Notice(msgspec.Struct, frozen=True):
    """Something to tell. `version` of the alert made it, so (alert, episode, what, version) happens once."""

    what: What
    at: Millis
    episode: int
    version: int


def later(cause: Cause, than: Cause) -> bool:
    """Whether a verdict comes after another of the same relationship; a new incarnation of the log always does."""
    if cause.incarnation != than.incarnation:
        return True
    return (cause.position, cause.step) > (than.position, than.step)


def apply_change(
    alert: Alert | None,
    update: Update,
    change: FlagChange,
    at: Millis,
    *,
    advice: tuple[str, ...] = (),
    received: Millis = 0,
) -> Transition | None:
    """What a verdict of `update` makes of the current alert of its fingerprint; None where it changes nothing.

    A verdict not later than the last one applied changes nothing, so it may be
    delivered any number of times. A quiet one (loaded history) never opens; it may update, and clear.
    """
    if alert is not None and not later(change.cause, alert.cause):
        return None
    if alert is None or alert.state == AlertState.RESOLVED:
        return _raise(alert, update, change, at, advice, received) if change.raised and not change.suppressed else None
    return Transition(_update(alert, update, change, at) if change.raised else _clear(alert, change, at))


def renew(alert: Alert | None, flag: StandingFlag, at: Millis) -> Transition | None:
    """The alert of a flag that stands on in other words; None where it changes nothing.

    Nobody is told of it, and the timeline does not say so: it is the same alert.
    """
    if alert is None or alert.state == AlertState.RESOLVED or not later(flag.cause, alert.cause):
        return None
    renewed = replace(
        alert,
        reason=flag.reason,
        numbers=flag.numbers,
        evidence=flag.evidence,
        cause=flag.cause,
        updated_at=at,
        version=alert.version + 1,
    )
    return Transition(renewed)


def _raise(
    closed: Alert | None, update: Update, change: FlagChange, at: Millis, advice: tuple[str, ...], received: Millis
) -> Transition:
    opened = Alert(
        id=fingerprint(update.tenant, update.relationship, change.rule, change.subject),
        tenant=update.tenant,
        relationship=update.relationship,
        name=update.name,
        owner=update.owner,
        kind=update.kind,
        segment=update.segment,
        rule=change.rule,
        subject=change.subject,
        severity=change.severity,
        state=AlertState.OPEN,
        reason=change.reason,
        numbers=change.numbers,
        evidence=change.evidence,
        advice=advice,
        opened_at=at,
        moment=change.moment,
        updated_at=at,
        cause=change.cause,
        received=received,
        version=0,
    )
    if closed is None:
        return Transition(_entered(opened, What.OPENED, at, RAPPORT, change.reason))
    again = replace(
        opened,
        episode=closed.episode + 1,
        timeline=closed.timeline,  # a reader of the new episode sees how the last one ended
        version=closed.version,
        published_version=closed.published_version,
    )
    return Transition(_entered(again, What.REOPENED, at, RAPPORT, change.reason), archived=closed)


def _update(alert: Alert, update: Update, change: FlagChange, at: Millis) -> Alert:
    worse = _RANK[change.severity] > _RANK[alert.severity] and not change.suppressed
    changed = replace(
        alert,
        name=update.name,
        owner=update.owner,
        kind=update.kind,
        segment=update.segment,
        severity=change.severity,
        reason=change.reason,
        numbers=change.numbers,
        evidence=change.evidence,
        moment=change.moment,
        cause=change.cause,
    )
    what = What.ESCALATED if worse else What.UPDATED
    return _entered(changed, what, at, RAPPORT, f"{change.severity}: {change.reason}")


def _clear(alert: Alert, change: FlagChange, at: Millis) -> Alert:
    closed = replace(
        alert,
        state=AlertState.RESOLVED,
        resolved_at=at,
        resolved_by=RAPPORT,
        moment=change.moment,
        cause=change.cause,
    )
    return _entered(closed, What.CLEARED, at, RAPPORT, change.reason, change.why)


def acknowledge(alert: Alert, who: str, at: Millis, text: str = "") -> Alert:
    """Somebody takes it on; the same alert if somebody has already. Raises Refused when it is resolved."""
    if alert.state == AlertState.RESOLVED:
        raise Refused("This alert is resolved; only an open alert can be acknowledged.")
    if alert.state == AlertState.ACKNOWLEDGED:
        return alert
    taken = replace(alert, state=AlertState.ACKNOWLEDGED, acknowledged_at=at, acknowledged_by=who)
    return _entered(taken, What.ACKNOWLEDGED, at, who, text)


def resolve(alert: Alert, who: str, at: Millis, text: str = "") -> Alert:
    """Somebody closes it by hand; the same alert if it is resolved already."""
    if alert.state == AlertState.RESOLVED:
        return alert
    closed = replace(alert, state=AlertState.RESOLVED, resolved_at=at, resolved_by=who)
    return _entered(closed, What.RESOLVED, at, who, text)


def comment(alert: Alert, who: str, at: Millis, text: str) -> Alert:
    """Somebody adds a remark, in any state. Raises Refused when there is no text."""
    if not text.strip():
        raise Refused("A comment needs text.")
    return _entered(alert, What.COMMENTED, at, who, text)


def _entered(alert: Alert, what: What, at: Millis, who: str, text: str, why: str = "") -> Alert:
    version = alert.version + 1
    timeline = (*alert.timeline, AlertEntry(at, what, who, text, version, why=why))[-TIMELINE_LIMIT:]
    while len(timeline) > 1 and len(msgspec.json.encode(timeline)) > TIMELINE_BYTES:
        timeline = timeline[1:]
    return replace(alert, version=version, updated_at=at, timeline=timeline)


def owed(alert: Alert) -> list[Notice]:
    """What may not have been told yet: the tellable entries later than the last version that was seen through."""
    found = []
    episode = alert.episode
    for entry in reversed(alert.timeline):
        if entry.version <= alert.published_version:
            break
        if entry.what in TOLD:
            found.append(Notice(What(entry.what), entry.at, episode, entry.version))
        episode -= entry.what == What.REOPENED
    return found[::-1]
