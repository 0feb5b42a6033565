"""The event contract as JSON Schema, made from the same tables that events are held against."""

from __future__ import annotations

from typing import Any

from shared.domain.events import EVENT_TYPES
from shared.domain.fields import FIELDS, GENERIC_FIELDS, NAME, Kind

ID = "urn:rapport:event:1"


def event_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of one event. What it cannot say (24 h ahead, 32 KB) is in its descriptions."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "An event for Rapport (CloudEvents 1.0)",
        "description": "At most 32 KB. A known field that is null counts as absent; unknown fields of `data` are kept.",
        "type": "object",
        "required": ["specversion", "id", "source", "type", "time", "subject"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": _said(NAME.schema, "Tells the events of one source apart; the same id again counts once."),
            "source": _said(NAME.schema, "The system that the event comes from."),
            "type": _said(NAME.schema, "What happened. Types that are not listed here are taken as touchpoints."),
            "time": {"type": "string", "format": "date-time", "description": "At most 24 h ahead, not before 1970."},
            "subject": _said(NAME.schema, "The relationship: an id such as acct-42."),
            "datacontenttype": {"type": ["string", "null"], "description": "application/json"},
            "rapportbackfill": {
                "description": "True for history that is loaded: it is counted, and raises no alerts.",
                "enum": [True, False, "true", "false", None],
            },
            "data": {"type": ["object", "null"]},
        },
        "allOf": [_data_of(name) for name in sorted(EVENT_TYPES)] + [_data_of_others()],
    }


def _data_of(name: str) -> dict[str, Any]:
    required = EVENT_TYPES[name].required
    return {
        "if": {"properties": {"type": {"const": name}}},
        "then": {
            **({"required": ["data"]} if required else {}),
            "properties": {"data": _object(FIELDS[name], required)},
        },
    }


def _data_of_others() -> dict[str, Any]:
    return {
        "if": {"properties": {"type": {"not": {"enum": sorted(EVENT_TYPES)}}}},
        "then": {"properties": {"data": _object(GENERIC_FIELDS, ())}},
    }


def _object(fields: dict[str, Kind], required: tuple[str, ...]) -> dict[str, Any]:
    properties = {
        name: _said(kind.schema if name in required else _or_null(kind.schema), kind.words)
        for name, kind in fields.items()
    }
    if required:
        return {"type": "object", "required": list(required), "properties": properties}
    return {"type": ["object", "null"], "properties": properties}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _said(schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {**schema, "description": text}
