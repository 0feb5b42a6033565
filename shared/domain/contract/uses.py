"""A plain use: an event that does nothing but add to a counter, decoded in one go."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec

from shared.domain.contract.declaration import EventClass, Types
from shared.domain.contract.events import MAX_NAME, MAX_QUANTITY, MAX_TIME, Interaction, Millis
from shared.domain.contract.types import EVENT_TYPES

_Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]


class UseData(msgspec.Struct, frozen=True, gc=False):
    """`data` of a plain use."""

    feature: _Name = ""
    person: _Name = ""
    quantity: Annotated[float, msgspec.Meta(ge=0, le=MAX_QUANTITY)] = 1.0


class Use(msgspec.Struct, frozen=True, gc=False):
    """An interaction of one of the types in PLAIN_USE, decoded in one go: by far the most of what comes."""

    tenant: str
    relationship: str
    id: str
    source: str
    type: str
    time: Annotated[Millis, msgspec.Meta(ge=0, le=MAX_TIME)]
    data: UseData = UseData()
    backfill: bool = False

    @property
    def feature(self) -> str:
        """What was used; an event without one is of the feature its type names."""
        return self.data.feature or PLAIN_USE[self.type]


class UseColumns(NamedTuple):
    """Plain uses as columns: when each was (ms), of what, by whom ("" for nobody in particular), and how much."""

    times: list[Millis]
    features: list[str]
    persons: list[str]
    quantities: list[float]

    def append(self, time: Millis, feature: str, person: str, quantity: float) -> None:
        """One more."""
        self.times.append(time)
        self.features.append(feature)
        self.persons.append(person)
        self.quantities.append(quantity)

    def part(self, start: int, end: int) -> UseColumns:
        """Those from `start` to before `end`."""
        return UseColumns(*(column[start:end] for column in self))  # type: ignore[arg-type]


def plain_uses(types: Types) -> dict[str, str]:
    """Usage that demands no more than a feature, and the feature of those types that need not name one."""
    return {
        name: "" if row.required else name.split(".")[1]
        for name, row in types.items()
        if row.kind is EventClass.USAGE and row.demands is None and row.required in ((), ("feature",))
    }


PLAIN_USE = plain_uses(EVENT_TYPES)
_DECODE = msgspec.json.Decoder(UseData).decode


def plain_use(event: Interaction) -> UseData | None:
    """What an accepted event uses, if that is all there is to it."""
    if event.type not in PLAIN_USE:
        return None
    try:
        return _DECODE(event.data)
    except msgspec.ValidationError:  # of a name that is there twice, a plain use must like both values
        return None
