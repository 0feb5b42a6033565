"""A run: events of one partition as columns, those of each relationship side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from shared.domain.columns.months import USE
from shared.domain.columns.row import Entry
from shared.domain.contract.days import day_number, day_of
from shared.domain.contract.declaration import EventClass
from shared.domain.contract.events import Interaction, JsonObject, Millis, id_hash, relationship_key
from shared.domain.contract.types import event_type
from shared.domain.contract.uses import Use, UseColumns
from shared.domain.relationship.touchpoints import Touchpoint


class Item(msgspec.Struct, frozen=True, gc=False):
    """One decoded event: its position in the log, when it was received, and its `data` (usage: as an entry)."""

    position: int
    received: Millis
    event: Interaction
    data: JsonObject
    usage: Entry | None = None

    @property
    def source(self) -> str:
        """The source of its event."""
        return self.event.source

    @property
    def id(self) -> str:
        """The id of its event."""
        return self.event.id


class Span(NamedTuple):
    """Events of one relationship that follow one another in a run: `tenant/relationship`, the first and the end."""

    id: str
    start: int
    end: int


class Run(msgspec.Struct):
    """Events of one partition as columns; what is no plain use is an item beside them.

    Those of each relationship are in the order of the log, and follow one another in one span, or in several.
    """

    spans: list[Span] = []
    hashes: list[int] = []  # of the events' ids
    positions: list[int] = []
    received: list[Millis] = []
    uses: UseColumns = msgspec.field(default_factory=lambda: UseColumns([], [], [], []))  # of an item there is nothing
    items: dict[int, Item] = {}  # by where they are

    def __len__(self) -> int:
        return len(self.positions)

    @classmethod
    def of(cls, items: Sequence[Item]) -> Run:
        """These items as a run."""
        run = cls()
        for item in items:
            key = relationship_key(item.event.tenant, item.event.relationship)
            run.append(key, [item], [item.position], [item.received])
        return run

    def append(
        self, id: str, events: Sequence[Use | Item], positions: Sequence[int], received: Sequence[Millis]
    ) -> None:
        """Append events of a relationship, their positions and moments of receipt, in the order of the log."""
        if not events:
            return
        start = len(self)
        self.hashes += [id_hash(event.source, event.id) for event in events]
        self.positions += positions
        self.received += received
        self.spans.append(Span(id, start, len(self)))
        for at, event in enumerate(events, start):
            if isinstance(event, Item):
                self.items[at] = event
                self.uses.append(0, "", "", 0.0)
            else:
                self.uses.append(event.time, event.feature, event.data.person, event.data.quantity)

    def item(self, at: int, id: str) -> Item:
        """The event there as an item; `id` is its relationship's."""
        found = self.items.get(at)
        if found is not None:
            return found
        uses = self.uses
        time = uses.times[at]
        entry = Entry(USE + uses.features[at], uses.persons[at], day_of(time), uses.quantities[at])
        tenant, _, relationship = id.partition("/")
        event = Interaction(tenant, relationship, "", "", "usage.feature_used", time)
        return Item(self.positions[at], self.received[at], event, {}, entry)


class Prefetched(msgspec.Struct):
    """What was read from the store for a run: timeline entries that exist, and whole timelines for corrections.

    `traceless`: relationships whose corrections in this run undo nothing that is left in their facts.
    """

    touchpoints: dict[str, Touchpoint]
    timelines: dict[str, list[Touchpoint]]
    traceless: set[str] = set()


def usage_entry(event: Interaction, data: JsonObject) -> Entry | None:
    """What a usage event counts; None for other types."""
    if event_type(event.type).kind is not EventClass.USAGE:
        return None
    feature = str(data.get("feature") or event.type.split(".")[1])
    day = day_number(data["day"]) if event.type == "usage.daily_total" else day_of(event.time)
    return Entry(USE + feature, str(data.get("person", "")), day, float(data.get("quantity", 1)))
