"""Writes event.schema.json beside this file from the table that events are held against: run it when that changes."""

from __future__ import annotations

import json
from pathlib import Path

from shared.domain.contract.schema import event_schema

if __name__ == "__main__":
    text = json.dumps(event_schema(), indent=2, ensure_ascii=False) + "\n"
    Path(__file__).with_name("event.schema.json").write_text(text, encoding="utf-8")
