"""What a channel is sent: `{"type": "alert.opened", "timestamp": …, "data": {the alert as the API shows it}}`."""

from __future__ import annotations

from collections.abc import Iterable

from shared import wire
from shared.domain.alerts.alert import Alert
from shared.domain.alerts.lifecycle import Notice, owed
from shared.domain.alerts.present import alert_json
from shared.domain.contract.days import iso
from shared.domain.contract.events import JsonObject, Millis
from shared.domain.playbooks.model import Playbook
from shared.storage.store import Delivery


def payload(alert: Alert, notice: Notice) -> JsonObject:
    """The message of a notice: what happened, when, and the alert as it was when the message was written."""
    return {"type": f"alert.{notice.what}", "timestamp": iso(notice.at), "data": alert_json(alert)}


def delivery_id(alert: Alert, notice: Notice, channel: str) -> str:
    """The same for the same notice however often it is derived, so the outbox takes it once."""
    return f"{alert.id}/{notice.episode}/{notice.what}.{notice.version}/{channel}"


def deliveries_owed(alert: Alert, playbook: Playbook, available: Iterable[str], now: Millis) -> list[Delivery]:
    """Deliveries for every notice of the alert that may not be in the outbox yet, to the rule's channels."""
    rule = playbook.rules.get(alert.rule)
    channels = [str(channel) for channel in (rule.channels if rule else ()) if channel in set(available)]
    return [_delivery(alert, notice, channel, now) for notice in owed(alert) for channel in channels]


def _delivery(alert: Alert, notice: Notice, channel: str, now: Millis) -> Delivery:
    return Delivery(
        id=delivery_id(alert, notice, channel),
        tenant=alert.tenant,
        alert=alert.id,
        channel=channel,
        body=wire.encode(payload(alert, notice)).decode(),
        created_at=now,
        next_attempt_at=now,
    )
