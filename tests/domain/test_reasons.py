"""Every reason for a rejection is in the guide for senders, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from tests.domain.test_contract import ATTRIBUTES

ROOT = Path(__file__).parents[2]


def test_the_guide_knows_every_reason() -> None:
    guide = (ROOT / "docs" / "sending-events.md").read_text(encoding="utf-8")
    published = set(re.findall(r"`([a-z_]+)`", guide.split("An item is rejected as")[1].split("\n## ")[0]))
    published -= {"data", "data_base64"}
    given = {reason for _, reason in ATTRIBUTES} | {"missing_field", "invalid_field", "future_time", "not_a_batch"}
    assert published == given
