"""The types as the guide for senders lists them, made from the table that events are held against."""

from __future__ import annotations

from collections.abc import Iterator

from shared.domain.contract.declaration import GENERIC, Direction, EventClass, EventType
from shared.domain.contract.kinds import KINDS, Kind
from shared.domain.contract.types import EVENT_TYPES

BEGIN = "<!-- Written by docs/schema/write.py from shared/domain/contract/types.py: -->"
END = "<!-- until here. -->"

_WHO = {Direction.INBOUND: "they", Direction.OUTBOUND: "we", Direction.MUTUAL: "both", Direction.FACT: ""}
_NAMES = {kind.words: name for name, kind in KINDS.items()}


def with_types(guide: str) -> str:
    """The guide with the list of types between its marks as it must be; ValueError where it has no marks."""
    return between(guide, BEGIN, types_listed(), "list of types")


def between(page: str, begin: str, text: str, what: str) -> str:
    """The page with this text between the line `begin` and the first END after it; ValueError where they are not."""
    before, found, rest = page.partition(begin)
    _, end, after = rest.partition(END)
    if not found or not end:
        raise ValueError(f"Put the lines {begin!r} and {END!r} where the {what} belongs.")
    return f"{before}{begin}\n\n{text}\n\n{END}{after}"


def types_listed() -> str:
    """Every type, what every touchpoint may have, and every kind of field, in Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "| type | class | who acts | what it says | `data` |"
    yield "|---|---|---|---|---|"
    for name, row in {**{f"`{name}`": row for name, row in EVENT_TYPES.items()}, "any other": GENERIC}.items():
        yield f"| {name} | {row.kind} | {_WHO[row.direction]} | {row.says} | {_fields(row)} |"
    yield ""
    yield f"Every touchpoint may also have {_listed(GENERIC.fields, ())}."
    yield ""
    yield "| kind of field | what it must be |"
    yield "|---|---|"
    for kind in KINDS.values():
        yield f"| {_NAMES[kind.words]} | {kind.words} |"


def _fields(row: EventType) -> str:
    shared = GENERIC.fields if row.kind is EventClass.TOUCHPOINT else {}
    own = {name: kind for name, kind in row.fields.items() if name in row.required or name not in shared}
    return _listed(own, row.required)


def _listed(fields: dict[str, Kind], required: tuple[str, ...]) -> str:
    return ", ".join(
        f"{f'**`{name}`**' if name in required else f'`{name}`'} ({_NAMES[kind.words]})"
        for name, kind in fields.items()
    )
