"""The throughput bench: its log, its fold beside Rapport's engine, and what it reports. No Kafka here."""

from __future__ import annotations

import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import pytest

from bench.evaluations import Evaluations
from bench.full_path import clock_from, flags, scoring, states
from bench.peers.fold import DAY, Relationship, decode, engagement, id_of, write_states
from bench.throughput import QUICK, Size, arguments, size
from bench.throughput_falling import A_RELATIONSHIP, past
from bench.throughput_log import (
    BASE,
    SPAN,
    TENANT,
    Sent,
    Traffic,
    by_partition,
    events_in,
    in_frames,
    records,
    reference,
)
from bench.throughput_report import Measured, differences, machine, markdown, report
from bench.throughput_rows import ROWS, Figures, Job
from shared import wire
from shared.domain.contract.events import HOUR, Interaction
from shared.domain.rules.table import RULES
from shared.storage.memory import MemoryStore
from shared.storage.store import Incarnation
from shared.stream.frames import interactions, read_frame
from shared.stream.memory import MemoryLog
from shared.stream.memory_group import flush_all
from shared.stream.ports import Batch, Record
from shared.stream.topics import INTERACTIONS, UPDATES, partition_of
from shared.telemetry import Metrics

ROOT = Path(__file__).parents[2]
SMALL = Traffic(events=600, relationships=20, partitions=2)


def all_of(traffic: Traffic) -> list[Sent]:
    return [sent for chunk in records(traffic) for sent in chunk]


# --- the log


def test_the_same_seed_makes_the_same_log() -> None:
    assert all_of(SMALL) == all_of(SMALL)
    assert all_of(SMALL) != all_of(msgspec.structs.replace(SMALL, seed=8))


def test_records_are_interactions_under_their_relationships_key() -> None:
    for sent in all_of(SMALL):
        event = wire.decode(sent.value, Interaction)
        assert sent.key.decode() == f"{event.tenant}/{event.relationship}"
        assert 0 <= sent.received - event.time < SMALL.days * DAY + HOUR


def test_receipts_cross_four_full_hours_in_order_and_no_quarter_of_a_day() -> None:
    received = [sent.received for sent in all_of(SMALL)]
    assert received == sorted(received)
    assert {at // HOUR - BASE // HOUR for at in received} == set(range(5))
    assert {at // (6 * HOUR) for at in (*received, BASE + SPAN)} == {BASE // (6 * HOUR)}


def test_the_mix_is_as_stated() -> None:
    sent = all_of(Traffic(events=10_000, relationships=500))
    events = [decode(one.value) for one in sent]
    types = Counter(event.type for event in events)
    shares = [types[name] / len(sent) for name in ("usage.feature_used", "usage.login", "message.received")]
    assert shares == pytest.approx([0.92, 0.03, 0.05], abs=0.01)
    recent = sum(one.received - event.time < DAY for one, event in zip(sent, events, strict=True))
    assert recent / len(sent) == pytest.approx(0.98, abs=0.01)
    used = {(event.data.person, event.data.feature) for event in events if event.type == "usage.feature_used"}
    assert max(Counter(person for person, _ in used).values()) == 3
    again = len(sent) - len({id_of(event) for event in events})
    assert again / len(sent) == pytest.approx(0.01, abs=0.004)
    assert sum(len(one.value) for one in sent) / len(sent) == pytest.approx(260, abs=25)


def test_zipf_traffic_has_a_favourite() -> None:
    even = Counter(sent.key for sent in all_of(SMALL)).most_common(1)[0][1]
    uneven = Counter(sent.key for sent in all_of(msgspec.structs.replace(SMALL, zipf=1.1))).most_common(1)[0][1]
    assert uneven > 3 * even


def test_partitions_are_those_of_ingest_and_keep_the_order() -> None:
    parts = by_partition(all_of(SMALL), SMALL.partitions, "i-1")
    assert sum(map(len, parts.values())) == SMALL.events
    for number, messages in parts.items():
        assert {partition_of(message.key or b"", SMALL.partitions) for message in messages} == {number}
        assert [message.timestamp for message in messages] == sorted(message.timestamp or 0 for message in messages)


def test_frames_hold_the_same_events_in_the_same_order() -> None:
    sent = all_of(SMALL)
    records, frames = by_partition(sent, SMALL.partitions, "i-1"), in_frames(sent, SMALL.partitions, "i-1")
    for number, messages in frames.items():
        assert events_in(messages) == len(records[number])
        held = [event for message in messages for event in interactions(read_frame(message.value))]
        assert [event.id for event in held] == [wire.decode(one.value, Interaction).id for one in records[number]]


# --- the fold


async def scored(sent: Sequence[Sent], partitions: int, batch: int) -> MemoryStore:
    """What Rapport's full path stores of these records."""
    store, log = MemoryStore(), MemoryLog(partitions)
    for topic in (INTERACTIONS, UPDATES):
        await store.set_incarnation(Incarnation(topic, "i-1", partitions))
    processor = scoring(store, log.publisher(), Metrics("scoring"), clock_from(sent[-1].received), partitions)
    await processor.assigned(range(partitions))
    for number, messages in in_frames(sent, partitions, "i-1", together=10).items():
        found = [Record(at, one.timestamp or 0, one.key, one.value, one.headers) for at, one in enumerate(messages)]
        for at in range(0, len(found), batch):
            await processor.apply(Batch(INTERACTIONS, number, found[at : at + batch], len(found)))
            await flush_all(processor)
    return store


async def test_the_fold_is_what_rapport_stores() -> None:
    expected = reference(SMALL)
    store = await scored(all_of(SMALL), SMALL.partitions, batch=100)
    assert await states(store, sorted(expected), all_of(SMALL)[-1].received) == expected


async def test_state_rules_fire_for_those_whose_use_has_fallen() -> None:
    store = await scored(all_of(SMALL), SMALL.partitions, batch=100)
    fallen = {f"{TENANT}/acct-{one.who:07d}" for one in past(SMALL.events, SMALL.relationships)}
    rules = {
        key: {change.rule for change in state.changes}
        for key, state in (await store.states(list(reference(SMALL)))).items()
    }
    assert {key for key, found in rules.items() if found} == fallen
    assert all("usage_drop" in rules[key] for key in fallen)
    assert await flags(store, list(rules)) >= len(fallen)


def test_the_log_begins_with_the_past_of_few() -> None:
    begins = past(1_000_000, 10_000)
    assert len(begins) == pytest.approx(10_000, rel=0.01)
    assert len({one.who for one in begins}) == len(begins) / A_RELATIONSHIP
    assert {one.who for one in past(600, 20)} == {0}


async def test_evaluations_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, rule in RULES.items():
        monkeypatch.setitem(RULES, name, rule)
    evaluations = Evaluations()
    await scored(all_of(SMALL), SMALL.partitions, batch=100)
    assert SMALL.relationships < evaluations.count <= 4 * SMALL.relationships
    evaluations.begin()
    assert evaluations.count == 0


def test_a_duplicate_counts_once() -> None:
    one, event = Relationship(), decode(all_of(SMALL)[0].value)
    assert one.add(event, BASE)
    assert not one.add(event, BASE + 7 * DAY)
    before = dict(one.cells)
    assert one.add(event, BASE + 8 * DAY)
    assert one.cells == {cell: 2 * amount for cell, amount in before.items()}


def test_the_windows_move_with_the_day_of_receipt() -> None:
    one, first = Relationship(), decode(all_of(SMALL)[-1].value)
    later = msgspec.structs.replace(first, id="later", time=first.time + 40 * DAY)
    one.add(first, BASE)
    one.add(later, BASE + 40 * DAY)
    amount = first.data.quantity if first.type.startswith("usage") else 1.0
    assert sorted(one.sums) == sorted([amount, amount, 0.0, 0.0])


@pytest.mark.parametrize(
    ("sums", "score"),
    [
        ((0, 0, 0, 0), None),
        ((3, 0, 0, 0), 10_000),
        ((0, 3, 0, 0), 3_333),
        ((0, 3, 5, 0), 6_667),
        ((1, 9, 1, 9), 4_286),
    ],
)
def test_engagement(sums: tuple[float, float, float, float], score: int | None) -> None:
    assert engagement(sums) == score


# --- the peers


@pytest.fixture
def pathway_fold(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of the row `pathway`, on a stand-in for Pathway, which only the peers' environment has."""
    name = "bench.peers.pathway_fold"
    stand_in: Any = ModuleType("pathway")
    stand_in.wrap_py_object = lambda value, serializer: SimpleNamespace(value=value)
    monkeypatch.setitem(sys.modules, "pathway", stand_in)
    sys.modules.pop(name, None)
    yield import_module(name)
    del sys.modules[name]


def test_pathways_batches_lead_to_the_same_states(pathway_fold: ModuleType) -> None:
    sent, states = all_of(SMALL), {}
    for at in range(0, len(sent), 100):
        batch = defaultdict(list)
        for one in sent[at : at + 100]:
            batch[one.key.decode()].append(([one.received, one.value], 1))
        for key, rows in batch.items():
            random.Random(at).shuffle(rows)
            states[key] = pathway_fold.fold(states.get(key), rows)
    assert {key: (score, wrapped.value.cells) for key, (wrapped, score) in states.items()} == reference(SMALL)


def test_pathways_batch_is_folded_in_order_of_receipt(pathway_fold: ModuleType) -> None:
    value, one = all_of(SMALL)[0].value, Relationship()
    received = (BASE, BASE + 8 * DAY)  # by then the same id counts again
    for at in received:
        one.add(decode(value), at)
    wrapped, score = pathway_fold.fold(None, [([at, value], 1) for at in reversed(received)])
    assert (score, wrapped.value.cells) == (one.score(), one.cells)


@pytest.mark.parametrize("name", ["quix", "bytewax", "pathway"])
def test_python_peers_run_in_an_environment_of_their_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.throughput_rows.peers_python", lambda: Path("peers/python"))
    job = Job(Path("log"), Path("out"), Path("states"), Path("keys"), "memory")
    python, *_, module, log, out, states = ROWS[name].command(job)
    assert (python, log, out, states) == ("peers/python", "log", "out", "states")
    assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


# --- what is reported


def figures(events: int, wall: float, cpu: float, state: str = "x") -> Figures:
    return Figures(events, wall, cpu, 100.0, state)


def test_rows_have_min_median_and_max() -> None:
    row = Measured()
    for cpu in (1.0, 4.0, 2.0):
        row.add(figures(1_000, 2.0, cpu), [])
    told = report({"bare": row})
    assert told["rows"] == [
        {
            "name": "bare",
            "events": 1_000,
            "events_per_s": {"min": 500.0, "median": 500.0, "max": 500.0},
            "events_per_cpu_s": {"min": 250.0, "median": 500.0, "max": 1_000.0},
            "peak_rss_mib": {"min": 100.0, "median": 100.0, "max": 100.0},
        }
    ]
    assert told["states_equal"]
    assert machine()["cores"] >= 1
    assert "| bare | 1,000 | 500 | 500 (250–1,000) | 100 |  |" in markdown({"bare": row})


def test_evaluations_and_flags_are_told_of_rows_that_have_them() -> None:
    row = Measured()
    row.add(msgspec.structs.replace(figures(1_000, 2.0, 1.0), evaluations=40, flags=3), [])
    assert report({"rapport_memory": row})["rows"][0] | {"evaluations": 40, "flags": 3} == report({"x": row})["rows"][
        0
    ] | {"name": "rapport_memory"}
    assert "`rapport_memory`: 40 evaluations, 3 flags raised" in markdown({"rapport_memory": row})


def test_a_row_is_compared_with_the_bare_loop_that_ran_before_it() -> None:
    row = Measured()
    for cpu, bare in ((10.0, 1.0), (20.0, 4.0), (10.0, 3.0)):
        row.add(figures(1_000, 2.0, cpu), [], figures(1_000, 2.0, bare))
    assert row.spreads()["of_bare"] == {"min": 0.1, "median": 0.2, "max": 0.3}
    assert "| 100 | 20.0% (10.0%–30.0%) |" in markdown({"quix": row})


def test_a_difference_is_told_and_unequal(tmp_path: Path) -> None:
    expected, found = tmp_path / "expected", tmp_path / "found"
    cells = {("use:search", "ann", 20_000): 2.0}
    digest = write_states(expected, {"acme/a": (9_000, cells), "acme/b": (None, {})})
    assert digest != write_states(
        found, {"acme/a": (9_000, {("use:search", "ann", 20_000): 3.0}), "acme/b": (None, {})}
    )
    wrong = differences(expected, found)
    assert wrong[0] == "1 relationships differ"
    assert "('use:search', 'ann', 20000, 2)" in wrong[1]
    assert "('use:search', 'ann', 20000, 3)" in wrong[1]
    row = Measured()
    row.add(figures(1, 1.0, 1.0), wrong)
    assert not report({"quix": row})["states_equal"]


def test_states_do_not_depend_on_the_order_of_counters(tmp_path: Path) -> None:
    one = {("use:a", "ann", 1): 1.0, ("use:b", "bob", 2): 2.0, ("use:c", "", 3): 0.0}
    other = {("use:b", "bob", 2): 2.0, ("use:a", "ann", 1): 1.0}
    first, second = tmp_path / "first", tmp_path / "second"
    assert write_states(first, {"acme/a": (1, one)}) == write_states(second, {"acme/a": (1, other)})


def test_sizes() -> None:
    assert size(arguments().parse_args([])) == Size()
    assert size(arguments().parse_args(["--quick"])) == QUICK
    assert size(arguments().parse_args(["--quick", "--events", "7"])) == msgspec.structs.replace(QUICK, events=7)
    assert set(arguments().parse_args([]).rows) == set(ROWS)
