"""The log as a channel: one structured line an alert."""

from __future__ import annotations

import msgspec

from services.alerts.channels import Answer, Outcome
from shared.domain.contract.events import Millis
from shared.storage.store import Delivery
from shared.telemetry import logger

SHOWN = ("id", "rule", "subject", "severity", "state", "relationship", "name", "owner", "reason", "episode", "version")


class LogChannel:
    """Always delivers."""

    async def send(self, delivery: Delivery, at: Millis) -> Outcome:
        message = msgspec.json.decode(delivery.body)
        alert = {name: message["data"][name] for name in SHOWN}
        logger().info(message["type"], tenant=delivery.tenant, **alert)
        return Outcome(Answer.DELIVERED)

    async def close(self) -> None:
        return None
