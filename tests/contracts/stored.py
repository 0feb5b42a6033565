"""Documents for the store's contract suite, with defaults for what a test does not care about."""

from __future__ import annotations

from typing import Any

from shared.domain.alerts.alert import Alert, AlertState
from shared.domain.columns.months import month_id
from shared.domain.relationship.flags import Cause, Severity, fingerprint
from shared.domain.relationship.state import Directory, RelationshipState, Score, Scores
from shared.domain.relationship.touchpoints import Touchpoint, touchpoint_id
from shared.storage.store import Delivery, Write

FENCE: dict[str, Any] = {"incarnation": "inc", "partition": 3, "position": 10, "writer": "one"}


def head_write(relationship: str = "r1", base: int = 0, tenant: str = "acme", **fields: Any) -> Write:
    """A write of a state document; without fields, the least there can be."""
    whole = {**FENCE, "tenant": tenant, "relationship": relationship, **fields}
    return Write("relationships", f"{tenant}/{relationship}", base, whole)


def listed(
    relationship: str, tenant: str = "acme", ri: float | None = None, band: str = "unknown", **fields: Any
) -> Write:
    """A state as lists show it: directory fields by name, and the score."""
    times = {name: fields.pop(name) for name in ("last_seen", "first_seen", "next_due_at") if name in fields}
    scores = Scores(ri=Score(index=ri, band=band), rv=Score(index=None if ri is None else 100 - ri))  # type: ignore[arg-type]
    return head_write(relationship, tenant=tenant, directory=Directory(**fields), scores=scores, **times)


def month_write(relationship: str, month: str, base: int = 0, tenant: str = "acme", **fields: Any) -> Write:
    whole = {**FENCE, "tenant": tenant, "relationship": relationship, "month": month, "metrics": ["use:a"], **fields}
    return Write("months", month_id(tenant, relationship, month), base, whole)


def chunk_write(
    relationship: str, newest: int, number: int, base: int = 0, tenant: str = "acme", **fields: Any
) -> Write:
    whole = {**FENCE, "tenant": tenant, "relationship": relationship, "number": number, "newest": newest, **fields}
    return Write("dedup", f"{tenant}/{relationship}/{number}", base, whole)


def entry(id: str, time: int = 1_000, relationship: str = "r1", tenant: str = "acme", **fields: Any) -> Touchpoint:
    whole = {"incarnation": "inc", "partition": 3, "type": "note.added", **fields}
    id = touchpoint_id(tenant, relationship, id)
    return Touchpoint(id=id, tenant=tenant, relationship=relationship, time=time, **whole)


def alert(
    relationship: str = "r1", rule: str = "silence", tenant: str = "acme", subject: str = "", **fields: Any
) -> Alert:
    whole: dict[str, Any] = {
        "name": "Acme Ltd",
        "owner": "ann",
        "severity": Severity.WARNING,
        "state": AlertState.OPEN,
        "reason": "silent for 21 days",
        "opened_at": 1_000,
        "moment": 1_000,
        "updated_at": 1_000,
        "cause": Cause("inc", 3, 10),
        **fields,
    }
    id = fingerprint(tenant, relationship, rule, subject)
    return Alert(id=id, tenant=tenant, relationship=relationship, rule=rule, subject=subject, **whole)


def delivery(id: str, tenant: str = "acme", alert: str = "acme/r1/silence/", **fields: Any) -> Delivery:
    whole: dict[str, Any] = {"channel": "webhook", "body": "{}", "created_at": 100, "next_attempt_at": 200, **fields}
    return Delivery(id=id, tenant=tenant, alert=alert, **whole)


def names(states: tuple[RelationshipState, ...]) -> list[str]:
    return [state.relationship for state in states]
