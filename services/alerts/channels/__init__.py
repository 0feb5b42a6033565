"""Where deliveries go. A channel is one file here and one line in `services.alerts.app.open_channels`."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

import msgspec

from shared.domain.contract.events import Millis
from shared.storage.store import Delivery


class Answer(Enum):
    """What came of an attempt: taken, to be tried again, or refused for good."""

    DELIVERED = "delivered"
    RETRY = "retry"
    REFUSED = "refused"


class Outcome(msgspec.Struct, frozen=True):
    """The answer, and for a person why (never a secret)."""

    answer: Answer
    detail: str = ""


class Channel(Protocol):
    """Sends one message. What can go wrong on the way is an outcome; anything raised is a defect."""

    async def send(self, delivery: Delivery, at: Millis) -> Outcome: ...

    async def close(self) -> None: ...
