"""Rows, touchpoints and a desk at which events are folded, for tests of the domain alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.domain.columns.block import Block
from shared.domain.columns.counters import MonthCells
from shared.domain.columns.dedup import Stored
from shared.domain.columns.id_chunks import Unsaved, chunk_all, unpack
from shared.domain.columns.months import METRICS_MOST, Month, code_parts, month_id
from shared.domain.columns.row import Entry, Row
from shared.domain.columns.view import View
from shared.domain.contract.days import Day, day_of
from shared.domain.contract.events import Interaction, JsonObject, Millis
from shared.domain.contract.times import parse_date_or_moment
from shared.domain.engine.display import features, refresh
from shared.domain.engine.run import Item, Prefetched, Run, usage_entry
from shared.domain.engine.step import StepResult, step_many, tick
from shared.domain.engine.terms import Terms
from shared.domain.playbooks.model import Playbook, RuleSettings, default_playbook
from shared.domain.playbooks.resolver import Resolver
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.flags import FlagChange
from shared.domain.relationship.fold import fold_timeline
from shared.domain.relationship.state import RelationshipState
from shared.domain.relationship.touchpoints import Touchpoint, made_of
from shared.domain.rules.declaration import CRITICAL, NONE, RuleResult, StateRule
from shared.domain.scores.factors import FACTORS

TENANT, NAME = "acme", "acct-1"
ID = f"{TENANT}/{NAME}"
LOG = "one"  # an incarnation


def at(text: str) -> Millis:
    """A moment: `2026-06-01` or `2026-06-01T09:00:00Z` (2026-06-01 is a Monday)."""
    return parse_date_or_moment(text)


def state(**fields: Any) -> RelationshipState:
    """A state of acme/acct-1."""
    return RelationshipState(id=ID, tenant=TENANT, relationship=NAME, **fields)


def interaction(
    type: str, time: Millis, id: str = "e1", data: JsonObject | None = None, *, backfill: bool = False
) -> Interaction:
    """An accepted event of source `test`."""
    return Interaction(TENANT, NAME, id, "test", type, time, msgspec.Raw(msgspec.json.encode(data or {})), backfill)


def touch(type: str, time: Millis, id: str = "e1", /, **data: Any) -> Touchpoint:
    """The timeline entry of an event."""
    return made_of(interaction(type, time, id, data), data)


def bare_playbook() -> Playbook:
    """Every rule with its default thresholds: no cooldown, no channels, no advice."""
    whole = default_playbook()
    rules = {name: RuleSettings(params=settings.params) for name, settings in whole.rules.items()}
    return msgspec.structs.replace(whole, rules=rules)


def playbook(rule: str | None = None, **settings: Any) -> Playbook:
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
    position: int = -1
    count: int = 0
    timeline: dict[str, Touchpoint] = field(default_factory=dict)
    months: dict[str, Month] = field(default_factory=dict)
    chunks: dict[int, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.block.add(state())

    @property
    def row(self) -> Row:
        return self.block.rows[ID]

    @property
    def state(self) -> RelationshipState:
        return self.row.state

    @property
    def flags(self) -> set[str]:
        return set(self.state.flags)

    @property
    def changes(self) -> tuple[FlagChange, ...]:
        return self.state.changes

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
        self.position += 1
        self.fold(Item(self.position, received, event, data, usage_entry(event, data)))
        return f"test#{id}"

    def fold(self, *items: Item) -> StepResult:
        """Fold items that hold their places already (a redelivery, or a batch)."""
        return self.run(Run.of(items))

    def run(self, run: Run) -> StepResult:
        """Fold a run."""
        timelines = {ID: list(self.timeline.values())}
        return step_many(self.block, run, Prefetched(dict(self.timeline), timelines), self.terms, LOG, 0)

    def clock(self, now: Millis) -> None:
        """Fold a clock record."""
        self.position += 1
        tick(self.block, [self.row], now, self.terms, Fence(LOG, 0, self.position))

    def store(self) -> None:
        """Put everything into documents, as a flush does."""
        row = self.row
        row.state.due = self.block.dues(row)
        for entry in row.pending.values():
            self.timeline[entry.id] = msgspec.structs.replace(entry, rev=entry.rev + 1)
        for name, cells in row.cells.items():
            self.months[name] = month_document(row, name, self.months.get(name))
            cells.stored()
        if row.new_ids:
            chunk_all([Unsaved(row.chunks, row.new_ids, row.ids_log)])
        for chunk in row.chunks:
            if chunk.new:
                self.chunks.setdefault(chunk.number, {}).update(chunk.fields())
                chunk.new = {}
        row.pending, row.new_ids, row.days = {}, [], {}
        row.chunks = row.chunks[-1:]

    def reload(self, next: int | None = None) -> Row:
        """The same relationship made anew from documents, in a block of its own; records from `next` on come again."""
        self.store()
        block = Block(self.block.columns.feature_days, capacity=1)
        stored = msgspec.convert(msgspec.to_builtins(self.state), RelationshipState)
        row = block.add(stored, [self.months[name] for name in sorted(self.months)], unknown_months=True)
        again = (0, self.position + 1 if next is None else next)
        for number, chunk in sorted(self.chunks.items()):
            for part in (name for name in chunk if name.startswith("parts.")):
                block.ids.load([Stored(row.tag, number, *unpack(part.partition(".")[2], chunk[part]), again)])
        row.chunks = self.row.chunks
        row.folded = max([stored.position, *(month.position for month in self.months.values())])
        self.block = block
        return row

    def shown(self) -> RelationshipState:
        """The state with everything it shows renewed."""
        refresh(self.block, [self.row])
        return self.state

    def features(self) -> dict[str, tuple[float, float]]:
        """The use of its features as it is shown, from documents."""
        self.store()
        return features(self.state, self.months.values())


def counters_of(month: MonthCells) -> list[tuple[Day, str, str, float]]:
    """Every counter of a month: day, metric, person, count."""
    month.unpack()
    metrics, persons = list(month.metrics), list(month.persons)
    counts = [
        (day, code_parts(code), count) for day, cells in month.days.items() for code, count in cells.counts.items()
    ]
    return [(day, metrics[what], persons[who], count) for day, (who, what), count in counts]


def month_document(row: Row, name: str, before: Month | None = None) -> Month:
    """The document of one of the row's months after what has changed was written to it, through JSON."""
    cells = row.cells[name]
    names = {"id": month_id(row.state.tenant, row.state.relationship, name), "month": name}
    document: dict[str, Any] = {"tenant": row.state.tenant, "relationship": row.state.relationship, **names}
    if before is not None:
        document = msgspec.to_builtins(before)
    for path, value in cells.fields().items():
        place, _, key = path.partition(".")
        if key:
            document.setdefault(place, {})[key] = value
        else:
            document[place] = value
    document |= msgspec.structs.asdict(cells.fence) | {"rev": cells.rev + 1}
    return msgspec.json.decode(msgspec.json.encode(document), type=Month)


def month_fields(counts: Mapping[int, Mapping[tuple[str, str], float]]) -> dict[str, Any]:
    """What a month's document says of counts by day of the month, metric and person."""
    metrics: dict[str, int] = {}
    persons = {"": 0}
    days: dict[str, tuple[list[int], list[float]]] = {}
    for day, counted in counts.items():
        places = [
            (persons.setdefault(who, len(persons)), metrics.setdefault(what, len(metrics))) for what, who in counted
        ]
        days[f"d{day}"] = ([who * METRICS_MOST + what for who, what in places], list(counted.values()))
    return {"metrics": list(metrics), "persons": list(persons), "days": days}


def numbers_of(**factors: Sequence[float | None]) -> tuple[float | None, ...]:
    """A state's `numbers` with these factors: value, confidence and inputs of each; of the others nothing is known."""
    none = {name: (None,) * (2 + len(rule.inputs)) for name, rule in FACTORS.items()}
    return tuple(number for name in FACTORS for number in factors.get(name, none[name]))


def row_with(touches: Iterable[Touchpoint] = (), **fields: Any) -> tuple[Block, Row]:
    """A block with one row, its facts folded from touchpoints and its counters counted."""
    touches = list(touches)
    block = Block(feature_days=68, capacity=1)
    row = block.add(state(facts=fold_timeline(touches), **fields))
    for position, entry in enumerate(touches):
        if entry.metric is not None:
            block.count(row, (Entry(entry.metric, entry.person, day_of(entry.time), 1.0),), Fence(LOG, 0, position))
    return block, row


class Looked(NamedTuple):
    """What a state rule says of a view, with an entry for each row even if it has nothing to say of it."""

    fires: NDArray[np.bool_]
    stays: NDArray[np.bool_]
    critical: NDArray[np.bool_]
    numbers: dict[str, NDArray[np.float64]]
    due: NDArray[np.int64]


def judged(rule: StateRule, view: View, book: Playbook | None = None) -> RuleResult:
    """What a state rule says of a view under a playbook."""
    variants = Resolver(book or playbook()).of_rows(view.rows)
    return rule.evaluate(view, variants.thresholds(rule.name, np.arange(len(view))))


def looked(rule: StateRule, view: View, book: Playbook | None = None) -> Looked:
    """The same of a rule about whole relationships, row by row; numbers are NaN where there are none."""
    result, size = judged(rule, view, book), len(view)
    assert result.subject == [""] * len(result.position)
    severity, stays = np.zeros(size, np.int8), np.zeros(size, np.bool_)
    severity[result.position], stays[result.position] = result.severity, result.stays
    numbers = {name: np.full(size, np.nan) for name in result.numbers}
    for name, column in result.numbers.items():
        numbers[name][result.position] = column
    return Looked(severity > NONE, stays, severity == CRITICAL, numbers, result.due)
