"""What the engine goes by."""

from __future__ import annotations

import msgspec

from shared.domain.contract.events import HOUR, Millis
from shared.domain.playbooks.model import Playbook


class Terms(msgspec.Struct, frozen=True):
    """What the engine goes by: the playbook, the canonical grain and the days within which an id counts once."""

    playbook: Playbook
    grain: Millis = HOUR
    dedup_days: int = 7
