"""What is said of a relationship itself, merged field by field: the later word wins, whenever it arrives."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.domain.events import JsonObject, Millis
from shared.domain.relationship import Directory

_TEXTS = ("name", "kind", "type", "segment", "owner", "stage", "status", "parent", "renewal_date")


def updated(directory: Directory, data: JsonObject, at: Millis) -> Directory:
    """The directory after a `relationship.updated` of time `at`. An older word only fills in what is missing."""
    newer = at >= directory.at
    changes: dict[str, Any] = {"at": max(at, directory.at)}
    said: dict[str, Any] = {field: str(data[field]) for field in _TEXTS if field in data}
    if "seats" in data:
        said["seats"] = int(data["seats"])
    if "domains" in data:
        said["domains"] = tuple(str(domain) for domain in data["domains"])
    for field, value in said.items():
        if newer or not getattr(directory, field):
            changes[field] = value
    if "custom" in data:
        old, new = directory.custom, data["custom"]
        changes["custom"] = {**old, **new} if newer else {**new, **old}
    return msgspec.structs.replace(directory, **changes)
