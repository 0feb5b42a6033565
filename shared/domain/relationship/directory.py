"""What is said of a relationship itself, merged field by field: the later word wins, whenever it arrives."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.domain.contract.events import JsonObject, Millis
from shared.domain.relationship.state import Directory

CUSTOM_KEPT = 100  # custom fields; the one that the oldest word was about goes first

_TEXTS = tuple(field.name for field in msgspec.structs.fields(Directory) if field.type is str)


def updated(directory: Directory, data: JsonObject, at: Millis) -> Directory:
    """The directory after a `relationship.updated` of time `at`: it changes what no later word has been about."""
    said_at = dict(directory.said_at)

    def is_news(field: str) -> bool:
        if at < said_at.get(field, 0):
            return False
        said_at[field] = at
        return True

    said: dict[str, Any] = {field: str(data[field]) for field in _TEXTS if field in data}
    if "seats" in data:
        said["seats"] = int(data["seats"])
    if "domains" in data:
        said["domains"] = tuple(str(domain) for domain in data["domains"])
    changes = {field: value for field, value in said.items() if is_news(field)}
    own = {name: value for name, value in data.get("custom", {}).items() if is_news(f"custom.{name}")}
    if own:
        changes["custom"] = _latest(directory.custom | own, said_at)
    return msgspec.structs.replace(directory, **changes, at=max(at, directory.at), said_at=said_at)


def _latest(custom: dict[str, Any], said_at: dict[str, Millis]) -> dict[str, Any]:
    """The custom fields that are kept; the others are taken out of `said_at` as well."""
    by_age = sorted(custom, key=lambda name: (said_at[f"custom.{name}"], name), reverse=True)
    for name in by_age[CUSTOM_KEPT:]:
        del custom[name], said_at[f"custom.{name}"]
    return custom
