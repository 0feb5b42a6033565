"""Writes what docs say of event types and rules from their declarations: run it when those change.

event.schema.json beside this file, the list of types in ../sending-events.md, and that of rules in ../playbooks.md.
"""

from __future__ import annotations

import json
from pathlib import Path

from shared.domain.contract.guide import with_types
from shared.domain.contract.schema import event_schema
from shared.playbooks.guide import with_rules

SCHEMA = Path(__file__).with_name("event.schema.json")
GUIDE = Path(__file__).parents[1] / "sending-events.md"
PLAYBOOKS = GUIDE.with_name("playbooks.md")

if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(event_schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    GUIDE.write_text(with_types(GUIDE.read_text(encoding="utf-8")), encoding="utf-8")
    PLAYBOOKS.write_text(with_rules(PLAYBOOKS.read_text(encoding="utf-8")), encoding="utf-8")
