"""The evaluation bench: its histories, its arithmetic, and that every part of it runs."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from bench.due_index import DueIndex
from bench.evaluation import PARTS, Size, arguments, measured, medians, rounded, table
from bench.evaluation_rows import a_day, built_in, filled, load, templates
from bench.evaluation_storm import Driver, Offered, Turn, figures, storm, waits
from bench.evaluation_story import DAYS, PERSONS, START, history, key_of
from bench.throughput_store import LocalStore, Server, Templates
from shared.domain.contract.events import DAY, HOUR
from shared.domain.rules.table import state_rules
from shared.stream.memory import MemoryLog
from shared.stream.ports import Batch, Message
from shared.stream.topics import INTERACTIONS

TINY = Size(
    rounds=1, kinds=2, batch=6, alone=2, moments=2, loaded=3, storms=(30,), warm=0.1, replayed=2, days=2, daily=(3,)
)


@pytest.fixture(scope="module")
def made() -> Templates:
    return templates(TINY.kinds)


def test_a_history_is_ninety_days_of_what_happens_to_a_relationship() -> None:
    told = history(1, np.random.default_rng(1))
    assert [at for at, _, _ in told] == sorted(at for at, _, _ in told)
    assert {at // DAY for at, _, _ in told} <= set(range(START - DAYS, START))
    types = Counter(type for _, type, _ in told)
    assert types.keys() >= {"message.received", "message.sent", "meeting.held", "survey.answered", "promise.made"}
    assert types["usage.feature_used"] > 500
    used = {(data["feature"], data["person"]) for _, type, data in told if type == "usage.feature_used"}
    assert len({feature for feature, _ in used}) == 5
    assert len({person for _, person in used}) == PERSONS


def test_the_first_relationship_has_every_trouble_and_the_second_has_none(made: Templates) -> None:
    rows = asyncio.run(load(LocalStore(Server(made)), built_in().block(), range(2)))
    flagged = [{flag.rule for flag in row.state.flags.values()} for row in rows]
    assert flagged[0] >= {"usage_drop", "silence", "expectation_violated"}
    assert flagged[1] == set()


def test_the_store_in_memory_holds_every_relationship_under_its_own_name(made: Templates) -> None:
    store = asyncio.run(filled(made, 3))
    rows = asyncio.run(load(store, built_in().block(), range(3)))
    assert [row.state.id for row in rows] == [key_of(number) for number in range(3)]
    assert all(row.people and row.state.score_days and row.state.facts.inbound_days for row in rows)


def test_everybody_is_evaluated_at_every_full_hour(made: Templates) -> None:
    moments = []
    for moment in a_day(made, 4, 3):
        moment.evaluate(moment.rows)
        moments.append(moment.at)
        assert {row.state.evaluated_at for row in moment.rows} == {moment.at}
    assert moments == [START * DAY + hour * HOUR for hour in (1, 2, 3)]


def test_figures_are_medians() -> None:
    assert rounded([3.04, 1.0, 2.06]) == 2.1
    assert medians([{"a": 1.0, "b": 9.0}, {"a": 2.0, "b": 7.0}, {"a": 6.0, "b": 8.0}]) == {"a": 2.0, "b": 8.0}


def test_every_part_runs_and_is_told(made: Templates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("bench.evaluation.templates", lambda count: made)
    told = json.loads(json.dumps({"load": 1.0, **measured(TINY, list(PARTS))}))
    assert told["row_us"] > 0
    assert told["single_us"] > told["row_us"]
    assert told["load_us"] > 0
    assert told["replay_us"].keys() == {"3"}
    assert told["storm"]["30"]["slice_ms_max"] > 0
    assert told["parts_us"].keys() == {*(rule.name for rule in state_rules()), "scores"}
    shown = table(told)
    assert all(name in shown for name in ("single", "silence", "scores", "3 events a day", "storm of      30"))


async def test_in_a_storm_all_are_evaluated_and_every_event_is_stored(made: Templates) -> None:
    found = await storm(made, 30, 0.1)
    assert found["slices"] > 0
    assert found["wait_ms"].keys() == found["alert_ms"].keys() == {"p50", "p95", "p99", "p100"}


class Slices:
    """A processor that has some slices left to do after each batch."""

    def __init__(self) -> None:
        self.left, self.calls = 0, list[str]()

    async def assigned(self, partitions: Sequence[int]) -> None: ...

    async def revoked(self, partitions: Sequence[int]) -> None: ...

    async def apply(self, batch: Batch) -> int:
        self.calls.append(f"apply {len(batch.records)}")
        self.left = 3
        return len(batch.records)

    def full(self) -> bool:
        return False

    async def flush(self) -> Mapping[int, int] | None:
        self.calls.append("flush")
        return {0: 1}

    @property
    def behind(self) -> bool:
        return self.left > 0

    async def advance(self) -> None:
        self.calls.append(f"advance {self.left}")
        self.left -= 1


async def test_a_processor_that_works_in_slices_is_asked_for_one_between_batches() -> None:
    log, processor = MemoryLog(), Slices()
    driver = Driver(processor, log)
    for _ in range(2):
        await log.append(INTERACTIONS, 0, [Message(b"")] * 2)
        await driver.step()
    for _ in range(3):
        await driver.step()
    while not driver.stored:  # as soon as it is time for a flush
        await driver.step()
    steps = [call for call in processor.calls if call != "flush"]
    assert steps == ["apply 2", "advance 3", "apply 2", "advance 3", "advance 2", "advance 1"]
    assert {turn.call for turn in driver.turns} == {"apply", "advance", "flush"}
    assert driver.stored == 1


def test_an_event_waits_until_its_relationship_is_stored_with_it() -> None:
    offered = [Offered(5, 1, 1_000, False), Offered(6, 2, 1_010, True), Offered(7, 1, 1_020, False)]
    told = {key_of(1): [(4, 1_001), (5, 1_100), (9, 1_500)], key_of(2): [(8, 1_200)]}
    assert waits(offered, told) == [100, 190, 480]
    with pytest.raises(RuntimeError, match="offset 7 was never stored"):
        waits(offered, {**told, key_of(1): told[key_of(1)][:2]})


def test_the_longest_turn_is_told_with_its_call() -> None:
    turns = [Turn("flush", 0.1, 0.1), Turn("apply", 2.5, 1.5), Turn("advance", 0.05, 0.05), Turn("advance", 0.07, 0.06)]
    found = figures(turns, 3.0, 2.0, [10, 20, 30])
    assert (found["turn_ms_max"], found["longest"]) == (2_500.0, "apply")
    assert (found["slice_ms_max"], found["slice_cpu_ms_max"], found["slices"]) == (70.0, 60.0, 2)
    assert found["wait_ms"]["p50"] == 20
    assert found["events"] == 3


def test_first_things_are_due_first() -> None:
    due = DueIndex()
    for id, at in (("b", 5), ("a", 5), ("c", 3), ("d", 9), ("c", 7), ("c", 3), ("a", 0), ("a", 5)):
        due.put(id, at)
    assert due.first(8, 10) == [("c", 3), ("a", 5), ("b", 5)]
    assert due.first(8, 2) == [("c", 3), ("a", 5)]
    assert due.first(8, 2, after=(3, "c")) == [("a", 5), ("b", 5)]
    assert due.first(8, 2, after=(5, "a")) == [("b", 5)]
    assert (due.earliest(), len(due)) == (3, 4)
    due.put("c", 0)
    assert (due.first(8, 10), due.earliest()) == ([("a", 5), ("b", 5)], 5)


def test_parts_can_be_chosen() -> None:
    assert arguments().parse_args(["--only", "load"]).only == ["load"]
