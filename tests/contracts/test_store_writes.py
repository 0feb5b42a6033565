"""Conditional writes: who wins, who is told that it lost, and what is then stored."""

from __future__ import annotations

import asyncio
from typing import Any

from shared.domain.columns.counters import MonthCells
from shared.domain.contract.days import day_number
from shared.domain.relationship.flags import Severity, StandingFlag
from shared.domain.relationship.state import Directory, Factor, Score, Scores
from shared.storage.documents import path
from shared.storage.store import Store, Write
from tests.contracts.stored import FENCE, chunk_write, entry, head_write, month_write
from tests.domain.builders import counters_of


async def test_base_0_creates_the_document_at_revision_1(store: Store) -> None:
    assert await store.write([head_write(events=5, directory=Directory(name="Acme", domains=("a.com",)))]) == []
    state = (await store.states(["acme/r1"]))["acme/r1"]
    assert (state.id, state.tenant, state.relationship, state.rev, state.writer) == ("acme/r1", "acme", "r1", 1, "one")
    assert (state.incarnation, state.partition, state.position, state.events) == ("inc", 3, 10, 5)
    assert state.directory == Directory(name="Acme", domains=("a.com",))


async def test_what_was_not_written_is_left_out(store: Store) -> None:
    assert await store.states(["acme/nobody"]) == {}
    assert await store.states([]) == {}
    assert await store.write([]) == []


async def test_a_write_at_the_right_revision_changes_only_its_fields(store: Store) -> None:
    await store.write([head_write(events=5, last_seen=7)])
    assert await store.write([head_write(base=1, events=6)]) == []
    state = (await store.states(["acme/r1"]))["acme/r1"]
    assert (state.rev, state.events, state.last_seen) == (2, 6, 7)


async def test_a_write_at_another_revision_loses_and_changes_nothing(store: Store) -> None:
    await store.write([head_write(events=5)])
    await store.write([head_write(base=1, events=6)])
    lost = await store.write([head_write(base=1, events=99, writer="two"), head_write("r2", events=1)])
    assert lost == ["acme/r1"]
    states = await store.states(["acme/r1", "acme/r2"])
    assert (states["acme/r1"].rev, states["acme/r1"].events, states["acme/r2"].events) == (2, 6, 1)


async def test_a_write_to_a_document_that_is_not_there_loses_unless_its_base_is_0(store: Store) -> None:
    assert await store.write([head_write(base=4)]) == ["acme/r1"]
    assert await store.states(["acme/r1"]) == {}


async def test_the_same_write_by_the_same_writer_again_counts_as_made(store: Store) -> None:
    for base in (0, 1):
        for _ in range(2):
            assert await store.write([head_write(base=base, events=base + 1)]) == []
    state = (await store.states(["acme/r1"]))["acme/r1"]
    assert (state.rev, state.events) == (2, 2)


async def test_of_two_writers_that_create_one_wins(store: Store) -> None:
    mine = [head_write(f"r{n}", writer="one", events=1) for n in range(50)]
    theirs = [head_write(f"r{n}", writer="two", events=2) for n in range(50)]
    lost_by_one, lost_by_two = await asyncio.gather(store.write(mine), store.write(theirs))
    states = await store.states([write.id for write in mine])
    assert sorted(lost_by_one + lost_by_two) == sorted(states)
    for id, state in states.items():
        winner = "two" if id in lost_by_one else "one"
        assert (state.writer, state.rev, state.events) == (winner, 1, {"one": 1, "two": 2}[winner])


async def test_writers_that_race_lose_no_update(store: Store) -> None:
    await store.write([head_write(events=0)])

    async def add(writer: str) -> None:
        for _ in range(10):
            while True:
                state = (await store.states(["acme/r1"]))["acme/r1"]
                change = head_write(base=state.rev, writer=f"{writer}{state.rev}", events=state.events + 1)
                if await store.write([change]) == []:
                    break

    await asyncio.gather(*(add(writer) for writer in "abc"))
    state = (await store.states(["acme/r1"]))["acme/r1"]
    assert (state.events, state.rev) == (30, 31)


async def test_collections_are_written_together(store: Store) -> None:
    writes = [month_write("r1", "2026-01"), chunk_write("r1", 5, 0, count=1, parts={"o7": "a+/="}), head_write()]
    assert await store.write(writes) == []
    assert (await store.months_by_id(["acme/r1/2026-01"]))["acme/r1/2026-01"].rev == 1
    assert (await store.dedup_chunks(["acme/r1"], 0))[0].parts == {"o7": "a+/="}
    assert set(await store.states(["acme/r1"])) == {"acme/r1"}


async def test_dotted_fields_set_one_place_of_a_map(store: Store) -> None:
    first = {"days.d1": [[0, 509], [2.5, 1.0]], "days.d31": [[0], [7.0]], "persons": ["", "ana"]}
    await store.write([month_write("r1", "2026-01", **first)])
    again = {"days.d1": [[0, 509], [3.5, 1.0]], "scores.d1": [50.25, None]}
    await store.write([month_write("r1", "2026-01", base=1, **again)])
    month = (await store.months_by_id(["acme/r1/2026-01"]))["acme/r1/2026-01"]
    assert month.days == {"d1": ([0, 509], [3.5, 1.0]), "d31": ([0], [7.0])}
    assert month.scores == {"d1": [50.25, None]}
    assert (month.metrics, month.persons) == (["use:a"], ["", "ana"])
    assert [type(count) for count in month.days["d1"][1]] == [float, float]


async def test_what_a_month_writes_of_its_changes_comes_back_whole(store: Store) -> None:
    month, first = MonthCells("2026-01"), day_number("2026-01-01")
    added = [(0, "use:a", "ana", 2.5), (30, "in:email", "", 1.0), (0, "use:a", "bob", 0.1), (12, "use:b", "ana", 1e12)]
    for rev, (day, metric, person, count) in enumerate(added):
        month.add(first + day, metric, person, count)
        month.scores[f"d{day + 1}"] = (rev / 3, None)
        month.changed_scores.add(f"d{day + 1}")
        names = {"tenant": "acme", "relationship": "r1", "month": "2026-01"}
        assert await store.write([Write("months", "acme/r1/2026-01", rev, {**FENCE, **names, **month.fields()})]) == []
        month.stored()
        found = (await store.months_by_id(["acme/r1/2026-01"]))["acme/r1/2026-01"]
        again = MonthCells.load(found)
        assert counters_of(again) == counters_of(month)
        assert ({day: tuple(pair) for day, pair in found.scores.items()}, again.rev) == (month.scores, rev + 1)


async def test_keys_of_maps_may_hold_anything(store: Store) -> None:
    flag = StandingFlag("usage_drop", "a.b", Severity.WARNING, since=5, numbers={"$x.y": 0.1})
    strange = [
        "usage_drop/a.b",
        "$set",
        "",
        'it\'s "so"',
        "a[0]",
        "100%",
        "%2E",
        "__neosqlite_objectid__",
        "ключ",
        "\x00",
    ]
    await store.write([head_write(flags=dict.fromkeys(strange, flag))])
    await store.write([head_write(base=1, **{path("flags", key): flag for key in ("new.one", "", "$gt", "c[1]")})])
    state = (await store.states(["acme/r1"]))["acme/r1"]
    assert state.flags == dict.fromkeys([*strange, "new.one", "$gt", "c[1]"], flag)


async def test_a_written_map_replaces_the_one_before(store: Store) -> None:
    await store.write([head_write(score_days={"20000": (1.0, 2.0), "20001": (1.0, None)})])
    await store.write([head_write(base=1, score_days={"20001": (3.0, 4.0)})])
    assert (await store.states(["acme/r1"]))["acme/r1"].score_days == {"20001": (3.0, 4.0)}


async def test_values_come_back_as_they_were(store: Store) -> None:
    custom: dict[str, Any] = {
        "yes": True,
        "no": False,
        "none": None,
        "int": 2**62 + 1,
        "float": 0.1 + 0.2,
        "whole": 5.0,
        "date": "2026-01-05T00:00:00Z",
        "$date": {"$date": "2026-01-05"},
        "nested": {"list": [1, "a", {"b.c": [True, []]}], "empty": {}},
        "text": "nul \x00 and quote ' and \N{SNOWMAN}",
    }
    factor = Factor(1 / 3, 0.2, "because", {"a.b": 2 / 3})
    scores = Scores(ri=Score(raw=1 / 7, index=100 / 3, factors={"trust": factor}), at=9)
    numbers = (1 / 3, None, 0.1 + 0.2, 5.0)
    windows = {"usage": (0.1, 1 / 3, 1e-9, 1e15), "people": (1, 2, 3, 4)}
    await store.write([head_write(directory=Directory(custom=custom), scores=scores, windows=windows, numbers=numbers)])
    state = (await store.states(["acme/r1"]))["acme/r1"]
    assert state.directory.custom == custom
    assert [type(state.directory.custom[key]) for key in ("yes", "int", "whole")] == [bool, int, float]
    assert state.scores == scores
    assert state.windows.usage == (0.1, 1 / 3, 1e-9, 1e15)
    assert state.numbers == numbers


async def test_a_boolean_by_itself_comes_back_as_one(store: Store) -> None:
    await store.add_touchpoints([entry("s#1", retracted=True)])
    await store.write([Write("timeline", "acme/r1/s#1", 0, {**FENCE, "retracted": False, "backfill": True})])
    found = (await store.touchpoints(["acme/r1/s#1"]))["acme/r1/s#1"]
    assert (found.retracted, found.backfill) == (False, True)
    assert isinstance(found.backfill, bool)


async def test_a_number_by_itself_keeps_15_digits(store: Store) -> None:
    await store.write([head_write(**{"scores.ri.index": 100 / 3})])
    assert (await store.states(["acme/r1"]))["acme/r1"].scores.ri.index == 33.3333333333333


async def test_integers_beyond_64_bits_become_floats_or_text(store: Store) -> None:
    await store.add_touchpoints([entry("s#1", data={"big": 10**30, "huge": 10**400, "many": [1, 2**63]})])
    data = (await store.touchpoints(["acme/r1/s#1"]))["acme/r1/s#1"].data
    assert data == {"big": 1e30, "huge": str(10**400), "many": [1, 2.0**63]}


async def test_what_is_read_is_a_copy(store: Store) -> None:
    await store.write([month_write("r1", "2026-01", days={"d1": ([0], [2.0])})])
    month = (await store.months_by_id(["acme/r1/2026-01"]))["acme/r1/2026-01"]
    month.days["d1"][1][0] = 99.0
    month.days["d1"][0].append(7)
    month.metrics.append("other")
    again = (await store.months_by_id(["acme/r1/2026-01"]))["acme/r1/2026-01"]
    assert (again.days, again.metrics) == ({"d1": ([0], [2.0])}, ["use:a"])


async def test_a_partition_remembers_its_clock_and_what_is_untold(store: Store) -> None:
    assert await store.partition_state(7) is None
    assert await store.write([Write("partitions", "7", 0, {**FENCE, "partition": 7, "clock": 5})]) == []
    unpublished = ("acme/r1", "acme/r.2/$x")
    fields = {**FENCE, "partition": 7, "clock": 6, "unpublished": unpublished}
    assert await store.write([Write("partitions", "7", 1, fields)]) == []
    state = await store.partition_state(7)
    assert state is not None
    assert (state.id, state.clock, state.rev, state.partition, state.unpublished) == ("7", 6, 2, 7, unpublished)
    assert await store.write([Write("partitions", "7", 2, {**FENCE, "partition": 7, "unpublished": ()})]) == []
    state = await store.partition_state(7)
    assert state is not None
    assert (state.clock, state.unpublished) == (6, ())


async def test_more_writes_than_fit_in_one_bulk(store: Store) -> None:
    writes = [head_write(f"r{n}", events=n) for n in range(1_203)]
    assert await store.write(writes) == []
    stale = [head_write(f"r{n}", base=n % 2, writer="two", events=0) for n in range(1_203)]
    assert await store.write(stale) == [write.id for write in stale if write.base == 0]
    states = await store.states([write.id for write in writes])
    assert [states[write.id].events for write in writes] == [0 if n % 2 else n for n in range(1_203)]
