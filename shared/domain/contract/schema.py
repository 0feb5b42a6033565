"""The event contract as JSON Schema, made from the same tables that events are held against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shared.domain.contract.declaration import GENERIC, EventClass
from shared.domain.contract.kinds import KINDS, Kind
from shared.domain.contract.types import EVENT_TYPES

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
            "id": _said("name", "Tells the events of one source apart; the same id again counts once."),
            "source": _said("name", "The system that the event comes from."),
            "type": _said(
                "name", "What happened. A type that is not listed here is a fact: kept on the timeline, and no contact."
            ),
            "time": _said("time", "When it happened: at most 24 h ahead, not before 1970."),
            "subject": _said("name", "The relationship: an id such as acct-42."),
            "datacontenttype": {"type": ["string", "null"], "description": "application/json"},
            "rapportbackfill": {
                "description": "True for history that is loaded: it is counted, and raises no alerts.",
                "enum": [True, False, "true", "false", None],
            },
            "data": {"type": ["object", "null"]},
        },
        "$ref": "#/$defs/typed",
        "$defs": {
            **{name: {**kind.schema, "description": kind.words} for name, kind in KINDS.items()},
            "replacement": _replacement(),
            "typed": {
                "description": "What `data` must be, by `type`: of an event, and of what replaces one.",
                "allOf": [*_by_type(), _data({"not": {"enum": sorted(EVENT_TYPES)}}, GENERIC.fields, ())],
            },
        },
    }


def _replacement() -> dict[str, Any]:
    """What replaces an event is a touchpoint."""
    schema = KINDS["replacement"].schema
    others = sorted(name for name, row in EVENT_TYPES.items() if row.kind is not EventClass.TOUCHPOINT)
    of_touchpoints = {**schema["properties"]["type"], "not": {"enum": others}}
    properties = {**schema["properties"], "type": of_touchpoints}
    return {**schema, "properties": properties, "description": KINDS["replacement"].words}


def _by_type() -> Iterator[dict[str, Any]]:
    """What `data` must be, for types of the same shape together."""
    shapes: dict[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], list[str]] = {}
    for name, row in sorted(EVENT_TYPES.items()):
        fields = tuple((field, kind.words) for field, kind in row.fields.items())
        shapes.setdefault((row.required, fields), []).append(name)
    for (required, _), names in shapes.items():
        yield _data({"enum": names}, EVENT_TYPES[names[0]].fields, required)


def _data(types: dict[str, Any], fields: dict[str, Kind], required: tuple[str, ...]) -> dict[str, Any]:
    properties = {
        name: _ref(kind) if name in required else {"anyOf": [_ref(kind), {"type": "null"}]}
        for name, kind in fields.items()
    }
    whole = {"type": "object", "required": list(required)} if required else {"type": ["object", "null"]}
    then: dict[str, Any] = {"properties": {"data": {**whole, "properties": properties}}}
    return {
        "if": {"required": ["type"], "properties": {"type": types}},
        "then": then | ({"required": ["data"]} if required else {}),
    }


_NAMES = {kind.words: name for name, kind in KINDS.items()}


def _ref(kind: Kind) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{_NAMES[kind.words]}"}


def _said(kind: str, text: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{kind}", "description": text}
