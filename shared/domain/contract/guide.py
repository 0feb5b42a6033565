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
    before, begin, rest = guide.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"Put the lines {BEGIN!r} and {END!r} where the list of types belongs.")
    return f"{before}{BEGIN}\n\n{types_listed()}\n\n{END}{after}"


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
