"""Domain values as the API, the live streams and the webhooks show them: plain JSON objects, RFC 3339 times."""

from __future__ import annotations

import msgspec

from shared.domain.alerts.alert import Alert, AlertEntry
from shared.domain.contract.days import iso
from shared.domain.contract.events import JsonObject, Millis
from shared.domain.relationship.flags import Counter, Update


def time_json(at: Millis) -> str | None:
    """RFC 3339 in UTC; None for 0, which means never."""
    return iso(at) if at else None


def alert_json(alert: Alert) -> JsonObject:
    """An alert as it is shown everywhere; `subject` tells alerts of one rule and relationship apart."""
    return {
        "id": alert.id,
        "rule": alert.rule,
        "subject": alert.subject,
        "severity": str(alert.severity),
        "state": str(alert.state),
        "relationship": alert.relationship,
        "name": alert.name,
        "owner": alert.owner,
        "kind": alert.kind,
        "segment": alert.segment,
        "reason": alert.reason,
        "numbers": dict(alert.numbers),
        "evidence": {
            "events": list(alert.evidence.events),
            "counters": [_counter_json(counter) for counter in alert.evidence.counters],
        },
        "advice": list(alert.advice),
        "opened_at": iso(alert.opened_at),
        "moment": iso(alert.moment),
        "acknowledged_at": time_json(alert.acknowledged_at),
        "acknowledged_by": alert.acknowledged_by or None,
        "resolved_at": time_json(alert.resolved_at),
        "resolved_by": alert.resolved_by or None,
        "updated_at": iso(alert.updated_at),
        "episode": alert.episode,
        "version": alert.version,
        "timeline": [_entry_json(entry) for entry in alert.timeline],
    }


def _counter_json(counter: Counter) -> JsonObject:
    shown: JsonObject = {
        "feature": counter.feature,
        "day": counter.day,
        "count": counter.count,
        "share": counter.share,
    }
    return shown | ({"person": counter.person} if counter.person else {})


def _entry_json(entry: AlertEntry) -> JsonObject:
    return {
        "at": iso(entry.at),
        "what": entry.what,
        "who": entry.who or None,
        "why": entry.why or None,
        "text": entry.text or None,
    }


def score_json(update: Update) -> JsonObject:
    """The scores of a relationship as the live stream shows them (the compact form: indices 0-100 and the band)."""
    return {
        "relationship": update.relationship,
        "name": update.name,
        "ri": update.ri,
        "rv": update.rv,
        "band": update.band,
        "at": time_json(update.at),
    }


def raw_json(shown: JsonObject) -> msgspec.Raw:
    """The JSON text of such an object, to be passed through as it is."""
    return msgspec.Raw(msgspec.json.encode(shown))
