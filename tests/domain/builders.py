"""Rows, touchpoints and a desk at which events are folded, for tests of the domain alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from shared.domain.block import Block, Entry, Row
from shared.domain.dedup import IdChunk
from shared.domain.display import refresh
from shared.domain.engine import Item, Known, Step, Terms, step_many, tick, usage_entry
from shared.domain.events import Interaction, JsonObject, Millis
from shared.domain.fence import Fence
from shared.domain.fold import fold_timeline
from shared.domain.playbooks import Playbook, RuleSettings, bare_playbook
from shared.domain.relationship import Head
from shared.domain.times import parse_date_or_moment
from shared.domain.touchpoints import Touchpoint, made_of
from shared.domain.usage import Month, day_of, month_id
from shared.domain.verdicts import FlagChange, Rule

TENANT, NAME = "acme", "acct-1"
ID = f"{TENANT}/{NAME}"
LOG = "one"  # an incarnation


def at(text: str) -> Millis:
    """A moment: `2026-06-01` or `2026-06-01T09:00:00Z` (2026-06-01 is a Monday)."""
    return parse_date_or_moment(text)


def head(**fields: Any) -> Head:
    """A head of acme/acct-1."""
    return Head(id=ID, tenant=TENANT, relationship=NAME, **fields)


def interaction(
    type: str, time: Millis, id: str = "e1", data: JsonObject | None = None, *, backfill: bool = False
) -> Interaction:
    """An accepted event of source `test`."""
    return Interaction(TENANT, NAME, id, "test", type, time, msgspec.Raw(msgspec.json.encode(data or {})), backfill)


def touch(type: str, time: Millis, id: str = "e1", /, **data: Any) -> Touchpoint:
    """The timeline entry of an event."""
    return made_of(interaction(type, time, id, data), data)


def playbook(rule: Rule | None = None, **settings: Any) -> Playbook:
    """Default thresholds, except for one rule's settings; `params` may be given in part."""
    bare = bare_playbook()
    if rule is None:
        return bare
    params = msgspec.structs.replace(bare.rules[rule].params, **settings.pop("params", {}))
    return msgspec.structs.replace(bare, rules=bare.rules | {rule: RuleSettings(params=params, **settings)})


@dataclass
class Desk:
    """Folds events of one relationship one by one, as scoring does, with a store of its own."""

    terms: Terms = field(default_factory=lambda: Terms(bare_playbook()))
    block: Block = field(default_factory=lambda: Block(feature_days=68, capacity=2))
    offset: int = -1
    count: int = 0
    timeline: dict[str, Touchpoint] = field(default_factory=dict)
    months: dict[str, Month] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.block.add(head())

    @property
    def row(self) -> Row:
        return self.block.rows[ID]

    @property
    def head(self) -> Head:
        return self.row.head

    @property
    def flags(self) -> set[str]:
        return set(self.head.flags)

    @property
    def changes(self) -> tuple[FlagChange, ...]:
        return self.head.changes

    def say(
        self,
        type: str,
        received: Millis,
        /,
        *,
        time: Millis | None = None,
        id: str = "",
        about: str = "",
        backfill: bool = False,
        **data: Any,
    ) -> str:
        """Fold the next event of the log; its key."""
        self.count += 1
        id = id or f"e{self.count}"
        if about:
            data["id"] = about
        event = interaction(type, received if time is None else time, id, data, backfill=backfill)
        self.offset += 1
        self.fold(Item(self.offset, received, event, data, usage_entry(event, data)))
        return f"test#{id}"

    def fold(self, *items: Item) -> Step:
        """Fold items that hold their places already (a redelivery, or a batch)."""
        timelines = {ID: list(self.timeline.values())}
        return step_many(self.block, items, Known(dict(self.timeline), timelines), self.terms, LOG, 0)

    def clock(self, now: Millis) -> None:
        """Fold a clock record."""
        self.offset += 1
        tick(self.block, [self.row], now, self.terms, Fence(LOG, 0, self.offset))

    def store(self) -> None:
        """Put what is pending on the timeline, as a flush does."""
        for entry in self.row.pending.values():
            self.timeline[entry.id] = msgspec.structs.replace(entry, rev=entry.rev + 1)
        self.row.pending = {}
        self.months |= {name: month_document(self.row, name) for name in self.row.cells}

    def reload(self) -> Row:
        """The same relationship made anew from documents, in a block of its own."""
        self.store()
        block = Block(self.block.feature_days, capacity=1)
        stored = msgspec.convert(msgspec.to_builtins(self.head), Head)
        row = block.add(stored, [self.months[name] for name in sorted(self.months)], unknown_months=True)
        row.ids.load(chunk_again(chunk) for chunk in self.row.ids._chunks)
        self.block = block
        return row

    def shown(self) -> Head:
        """The head with everything it shows renewed."""
        refresh(self.block, [self.row], self.terms.playbook)
        return self.head


def chunk_again(chunk: IdChunk) -> IdChunk:
    """A chunk as it comes back from its document."""
    fields = chunk.fields()
    again = IdChunk(fields["number"], 1, chunk.fence)
    again.entries = list(zip(fields["hashes"], fields["offsets"], fields["received"], strict=True))
    return again


def month_document(row: Row, name: str) -> Month:
    """The document of one of the row's months, through JSON."""
    cells = row.cells[name]
    fence = cells.fence
    document = Month(
        id=month_id(TENANT, NAME, name),
        tenant=TENANT,
        relationship=NAME,
        month=name,
        incarnation=fence.incarnation,
        partition=fence.partition,
        offset=fence.offset,
        rev=cells.rev + 1,
        **cells.fields(),
    )
    return msgspec.json.decode(msgspec.json.encode(document), type=Month)


def row_with(touches: Iterable[Touchpoint] = (), **fields: Any) -> tuple[Block, Row]:
    """A block with one row, its facts folded from touchpoints and its counters counted."""
    touches = list(touches)
    block = Block(feature_days=68, capacity=1)
    row = block.add(head(facts=fold_timeline(touches), **fields))
    for offset, entry in enumerate(touches):
        if entry.metric is not None:
            block.count(row, (Entry(entry.metric, entry.person, day_of(entry.time), 1.0),), Fence(LOG, 0, offset))
    return block, row
