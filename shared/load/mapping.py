"""The mapping of a table's rows to events: its YAML form, read strictly."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from shared.domain.errors import Misconfigured
from shared.load import strict_yaml
from shared.load.strict_yaml import Document

Scalar = str | int | float | bool
PLACE = re.compile(r"\{([^{}]+)\}")
"""A column's place in a template: `{column}`."""


class Time(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a moment is: `format` is iso, unix, unix_ms or as for strptime; `zone` is for times without an offset."""

    column: str
    format: str = "iso"
    zone: str = "UTC"


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One test of a column; every one that is given must hold. Values are compared as text, bounds as numbers."""

    column: str
    equals: Scalar | None = None
    one_of: list[Scalar] | None = None
    none_of: list[Scalar] | None = None
    empty: bool | None = None
    above: float | None = None
    below: float | None = None


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"kind": "as"}):
    """A column's value: `as` its kind, `values` replaces some, `default` stands for an empty one (else left out)."""

    column: str
    kind: Literal["text", "number", "integer", "boolean", "day", "time", "list"] = "text"
    values: dict[str, Scalar] = {}
    default: Scalar | None = None
    separator: str = ","
    format: str = "iso"
    zone: str = "UTC"


class EventRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event that a row may become. `once` = only for the first row of each subject."""

    type: str
    subject: str = ""
    time: Time | None = None
    when: list[Condition] = []
    once: bool = False
    id: str = ""
    data: dict[str, Any] = {}


class Csv(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a CSV file is written; `header` names the columns of a file that has no header line."""

    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8-sig"
    header: list[str] | None = None


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. `key` names the columns that identify a row; without it a row's content does."""

    events: list[EventRule]
    source: str = ""
    key: list[str] = []
    subject: str = ""
    time: Time | None = None
    csv: Csv = Csv()


class LoadedMapping(msgspec.Struct, frozen=True):
    """A mapping that was checked, with `data` as templates, columns and constants, and the document for its lines."""

    mapping: Mapping
    data: tuple[dict[str, Any], ...]  # by event: str (template), Column, dict, or a constant
    document: Document

    def check_columns(self, columns: Sequence[str]) -> None:
        """`Misconfigured`, naming file, line and key, if the mapping uses a column that the table does not have."""
        known = set(columns)
        for path, column in _columns(self):
            if column not in known:
                raise self.document.fault(path, f"the table has no column {column!r}; it has {', '.join(columns)}")


def load_mapping(path: Path) -> LoadedMapping:
    """Reads and checks a mapping file; whatever is wrong with it is `Misconfigured` with file, line and key."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Misconfigured(f"cannot read the mapping {path}: {error.strerror}") from error
    return parse_mapping(text, str(path))


def parse_mapping(text: str, file: str) -> LoadedMapping:
    """The same from text; `file` is named in errors."""
    document = strict_yaml.parse(text, file)
    mapping = strict_yaml.convert(document, Mapping)
    if not mapping.events:
        raise document.fault("$.events", "needs at least one event")
    for path, time in _times(mapping):
        _check_zone(document, path, time.zone)
    names = [rule.id or rule.type for rule in mapping.events]
    for n, rule in enumerate(mapping.events):
        if not (rule.subject or mapping.subject):
            raise document.fault(f"$.events[{n}]", "needs a `subject`, here or for the whole mapping")
        if not (rule.time or mapping.time):
            raise document.fault(f"$.events[{n}]", "needs a `time`, here or for the whole mapping")
        if names.index(names[n]) != n:
            raise document.fault(f"$.events[{n}]", f"{names[n]!r} is there twice: give each its own `id`")
    data = tuple(
        {key: _value(document, f"$.events[{n}].data.{key}", value) for key, value in rule.data.items()}
        for n, rule in enumerate(mapping.events)
    )
    return LoadedMapping(mapping, data, document)


def _value(document: Document, path: str, value: Any) -> Any:
    if isinstance(value, dict) and "column" in value:
        column = strict_yaml.convert(document, Column, path, value)
        _check_zone(document, path, column.zone)
        return column
    if isinstance(value, dict):
        return {key: _value(document, f"{path}.{key}", inner) for key, inner in value.items()}
    return value


def _check_zone(document: Document, path: str, zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError) as error:
        raise document.fault(f"{path}.zone", f"no such time zone: {zone!r} (for example Europe/Berlin)") from error


def _times(mapping: Mapping) -> Iterator[tuple[str, Time]]:
    if mapping.time:
        yield "$.time", mapping.time
    for n, rule in enumerate(mapping.events):
        if rule.time:
            yield f"$.events[{n}].time", rule.time


def _columns(loaded: LoadedMapping) -> Iterator[tuple[str, str]]:
    """Every column that is used, with the path of its use."""
    mapping = loaded.mapping
    yield from ((f"$.key[{n}]", column) for n, column in enumerate(mapping.key))
    yield from ((f"{path}.column", time.column) for path, time in _times(mapping))
    yield from (("$.subject", column) for column in PLACE.findall(mapping.subject))
    for n, (rule, data) in enumerate(zip(mapping.events, loaded.data, strict=True)):
        here = f"$.events[{n}]"
        yield from ((f"{here}.subject", column) for column in PLACE.findall(rule.subject))
        yield from ((f"{here}.when[{m}].column", test.column) for m, test in enumerate(rule.when))
        yield from _columns_of(f"{here}.data", data)


def _columns_of(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Column):
        yield f"{path}.column", value.column
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _columns_of(f"{path}.{key}", inner)
    elif isinstance(value, str):
        yield from ((path, column) for column in PLACE.findall(value))
