"""What has become of the accounts, live or in a replay, in the same form; and where two of these differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from shared.domain.columns.counters import MonthCells
from shared.domain.columns.months import cells_of, code_parts
from shared.domain.contract.days import day_number
from shared.domain.contract.events import Interaction, Millis
from shared.domain.engine.changes import CHANGES_KEPT
from shared.domain.engine.display import refresh
from shared.domain.engine.replay import Flagged, Replay, Scored
from shared.domain.engine.terms import Terms
from shared.domain.relationship.flags import FlagChange
from shared.domain.relationship.state import RelationshipState
from shared.domain.scores.formulas import score
from shared.storage.store import StateStore

FIRST_MONTH = "1970-01"
PLACE = (
    "id",
    "rev",
    "writer",
    "incarnation",
    "partition",
    "position",
)  # who has stored it, and up to where in which log
Fields = dict[str, Any]


class Picture(msgspec.Struct):
    """By relationship: flag changes in their order, the fields of its state, its counters, the scores of its days.

    `scores`: with their factors, at some moments.
    """

    changes: dict[str, list[Fields]]
    states: dict[str, Fields]
    counters: dict[str, Fields]
    days: dict[str, Fields]
    scores: dict[str, Fields]


# --- of a replay ----------------------------------------------------------------------------------------------------


def replayed(events: Sequence[Interaction], terms: Terms, until: Millis, dates: Sequence[Millis]) -> Picture:
    """These events through Replay, each received at its own time."""
    replay = Replay(terms)
    picture = Picture({}, {}, {}, {}, {})
    for found in replay.run(events, until, dates):
        if isinstance(found, Flagged):
            picture.changes.setdefault(found.relationship, []).append(_change(found.change))
        else:
            note_scores(picture.scores, [found])
            _note_days(picture, replay)  # a state has those of a month
    _note_days(picture, replay)
    rows = list(replay._block.rows.values())
    refresh(replay._block, rows)
    for row in rows:
        picture.states[row.state.relationship] = _fields(row.state)
        cells = (cell for month in row.cells.values() for cell in _cells(month))
        picture.counters[row.state.relationship] = _counted(cells)
    return picture


def _note_days(picture: Picture, replay: Replay) -> None:
    for row in replay._block.rows.values():
        picture.days.setdefault(row.state.relationship, {}).update(row.state.score_days)


def _cells(month: MonthCells) -> Iterator[tuple[str, str, int, float]]:
    month.unpack()
    metrics, persons = list(month.metrics), list(month.persons)
    for day, cells in month.days.items():
        for code, count in cells.counts.items():
            person, metric = code_parts(code)
            yield metrics[metric], persons[person], day, count


# --- of what is stored and told -------------------------------------------------------------------------------------


async def stored(
    store: StateStore, told: Iterable[tuple[str, FlagChange]], keys: Iterable[str], scores: dict[str, Fields]
) -> Picture:
    """What the store holds of these relationships, and what was told of them: each change once, in their order."""
    ids, picture = sorted(keys), Picture(told_in_order(told), {}, {}, {}, scores)
    for state in (await store.states(ids)).values():
        picture.states[state.relationship] = _fields(state)
    cells: dict[str, list[tuple[str, str, int, float]]] = {}
    for month in await store.months(ids, FIRST_MONTH):
        counted = ((cell.metric, cell.person, cell.day, cell.count) for cell in cells_of(month))
        cells.setdefault(month.relationship, []).extend(counted)
        first = day_number(f"{month.month}-01")
        days = {str(first + int(name[1:]) - 1): tuple(scores) for name, scores in month.scores.items()}
        picture.days.setdefault(month.relationship, {}).update(days)
    picture.counters = {name: _counted(cells.get(name, ())) for name in picture.states}
    return picture


def told_in_order(told: Iterable[tuple[str, FlagChange]]) -> dict[str, list[Fields]]:
    """Flag changes by relationship; one that clears with the severity its flag stood with, as Replay has it."""
    found: dict[str, list[Fields]] = {}
    standing: dict[tuple[str, str, str], Any] = {}
    seen = set()
    for relationship, change in told:
        if (relationship, change.cause) in seen:
            continue
        seen.add((relationship, change.cause))
        key = (relationship, change.rule, change.subject)
        if change.raised:
            standing[key] = change.severity
        else:
            change = msgspec.structs.replace(change, severity=standing.pop(key))
        found.setdefault(relationship, []).append(_change(change))
    return found


async def stored_scores(store: StateStore, terms: Terms, ids: Sequence[str], at: Millis) -> list[Scored]:
    """The scores at a moment, made of the documents in the store."""
    states, block = await store.states(ids), terms.block()
    months = await store.months(ids, FIRST_MONTH)
    for state in states.values():
        block.add(state, [month for month in months if month.relationship == state.relationship])
    rows = list(block.rows.values())
    found = score(block.view(rows, [at] * len(rows)))
    return [Scored(row.state.relationship, at, scores) for row, scores in zip(rows, found, strict=True)]


# --- of both --------------------------------------------------------------------------------------------------------


def note_scores(noted: dict[str, Fields], found: Iterable[Scored]) -> None:
    """Add scores at a moment, by relationship."""
    for one in found:
        noted.setdefault(one.relationship, {})[str(one.at)] = msgspec.to_builtins(one.scores)


def _change(change: FlagChange) -> Fields:
    return {**msgspec.structs.asdict(change), "cause": None}


def _fields(state: RelationshipState) -> Fields:
    fields = {name: getattr(state, name) for name in state.__struct_fields__ if name not in PLACE}
    flags = {key: {**msgspec.structs.asdict(flag), "cause": None} for key, flag in state.flags.items()}
    return fields | {"flags": flags, "changes": [_change(one) for one in state.changes[-CHANGES_KEPT:]]}


def _counted(cells: Iterable[tuple[str, str, int, float]]) -> Fields:
    return {f"{metric} {person} {day}": count for metric, person, day, count in cells if count}


def differences(found: Picture, expected: Picture) -> list[str]:
    """In words, field by field, where they are not the same."""
    told = []
    for kind in ("changes", "states", "counters", "days", "scores"):
        one, other = getattr(found, kind), getattr(expected, kind)
        for name in sorted(one.keys() | other.keys()):
            told += [f"{kind} of {name}: {text}" for text in _differences(one.get(name), other.get(name))]
    return told


def _differences(found: Any, expected: Any, where: str = "") -> Iterator[str]:
    """Down to what differs inside of maps and lists."""
    if isinstance(found, msgspec.Struct) and type(found) is type(expected):
        found, expected = msgspec.structs.asdict(found), msgspec.structs.asdict(expected)
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        for name in sorted(found.keys() | expected.keys()):
            yield from _differences(found.get(name), expected.get(name), f"{where}[{name}]")
    elif isinstance(found, list | tuple) and isinstance(expected, list | tuple) and len(found) == len(expected):
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            yield from _differences(one, other, f"{where}[{number}]")
    elif found != expected:
        yield f"{where} is {found!r:.300} instead of {expected!r:.300}"
