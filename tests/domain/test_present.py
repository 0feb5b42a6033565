"""How alerts and scores look outside: the same everywhere, times in RFC 3339."""

from __future__ import annotations

import msgspec

from shared.domain.alerts.alert import Alert, AlertEntry, AlertState
from shared.domain.alerts.feed import FeedItem, alert_item, score_item
from shared.domain.alerts.present import alert_json
from shared.domain.relationship.flags import Cause, Counter, Evidence, Severity, Update, Why

NOW = 1_767_225_600_000
CAUSE = Cause("i1", 0, 7)

ALERT = Alert(
    id="acme/acct-42/feature_decline/reports",
    tenant="acme",
    relationship="acct-42",
    name="Globex",
    owner="eva",
    rule="feature_decline",
    subject="reports",
    severity=Severity.CRITICAL,
    state=AlertState.OPEN,
    reason="12 uses in 7 days where 60 are usual",
    opened_at=NOW,
    moment=NOW - 1_000,
    updated_at=NOW + 2_000,
    cause=CAUSE,
    numbers={"seen": 12.0},
    evidence=Evidence(
        events=("crm#1",),
        counters=(Counter("reports", "2025-12-31", 12.0), Counter("reports", "2025-12-31", 3.0, "ann")),
    ),
    advice=("Call them.",),
    kind="customer",
    segment="enterprise",
    timeline=(AlertEntry(NOW, "opened", "rapport", "", 1),),
)


def test_an_open_alert() -> None:
    assert alert_json(ALERT) == {
        "id": "acme/acct-42/feature_decline/reports",
        "rule": "feature_decline",
        "subject": "reports",
        "severity": "critical",
        "state": "open",
        "relationship": "acct-42",
        "name": "Globex",
        "owner": "eva",
        "kind": "customer",
        "segment": "enterprise",
        "reason": "12 uses in 7 days where 60 are usual",
        "numbers": {"seen": 12.0},
        "evidence": {
            "events": ["crm#1"],
            "counters": [
                {"feature": "reports", "day": "2025-12-31", "count": 12.0, "share": 1.0},
                {"feature": "reports", "day": "2025-12-31", "count": 3.0, "share": 1.0, "person": "ann"},
            ],
        },
        "advice": ["Call them."],
        "opened_at": "2026-01-01T00:00:00.000Z",
        "moment": "2025-12-31T23:59:59.000Z",
        "acknowledged_at": None,
        "acknowledged_by": None,
        "resolved_at": None,
        "resolved_by": None,
        "updated_at": "2026-01-01T00:00:02.000Z",
        "episode": 1,
        "version": 1,
        "timeline": [{"at": "2026-01-01T00:00:00.000Z", "what": "opened", "who": "rapport", "why": None, "text": None}],
    }


def test_a_resolved_alert_says_when_and_by_whom() -> None:
    shown = alert_json(
        msgspec.structs.replace(
            ALERT, acknowledged_at=NOW, acknowledged_by="eva", resolved_at=NOW + 1, resolved_by="rapport"
        )
    )
    assert (shown["acknowledged_at"], shown["acknowledged_by"]) == ("2026-01-01T00:00:00.000Z", "eva")
    assert (shown["resolved_at"], shown["resolved_by"]) == ("2026-01-01T00:00:00.001Z", "rapport")


def test_what_was_cleared_says_why() -> None:
    entry = AlertEntry(NOW, "cleared", "rapport", "", 2, why=Why.RULE_OFF)
    shown = alert_json(msgspec.structs.replace(ALERT, timeline=(entry,)))["timeline"][0]
    assert (shown["what"], shown["why"]) == ("cleared", "rule_off")


def test_feed_items_carry_what_is_shown() -> None:
    item = alert_item(ALERT)
    assert (item.kind, item.tenant, item.id, item.version) == ("alert", "acme", ALERT.id, 1)
    assert msgspec.json.decode(item.payload) == alert_json(ALERT)
    update = Update("acme", "acct-42", "Globex", "eva", "customer", "smb", NOW, CAUSE, ri=71.5, band="yellow")
    item = score_item(update)
    assert (item.kind, item.tenant, item.id, item.version) == ("score", "acme", "acct-42", NOW)
    assert msgspec.json.decode(item.payload) == {
        "relationship": "acct-42",
        "name": "Globex",
        "ri": 71.5,
        "rv": None,
        "band": "yellow",
        "at": "2026-01-01T00:00:00.000Z",
    }
    again = msgspec.json.decode(msgspec.json.encode(item), type=FeedItem)
    assert bytes(again.payload) == bytes(item.payload)


def test_a_score_that_was_never_computed_has_no_time() -> None:
    update = Update("acme", "acct-42", "Globex", "", "customer", "", 0, CAUSE)
    assert msgspec.json.decode(score_item(update).payload)["at"] is None
