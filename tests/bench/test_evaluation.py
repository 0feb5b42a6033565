"""The evaluation bench: its histories, its arithmetic, and that every part of it runs."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench.evaluation import PARTS, Size, arguments, measured, medians, rounded, table
from bench.evaluation_rows import a_day, filled, load, new_block, templates
from bench.evaluation_story import DAYS, PERSONS, START, history, key_of
from bench.throughput_store import LocalStore, Server, Templates
from shared.domain.contract.events import DAY, HOUR
from shared.domain.relationship.flags import Rule
from shared.playbooks.loader import load_playbook

TINY = Size(rounds=1, kinds=2, batch=6, alone=2, moments=2, loaded=3)


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
    rows = asyncio.run(load(LocalStore(Server(made)), new_block(load_playbook(None)), range(2)))
    flagged = [{flag.rule for flag in row.state.flags.values()} for row in rows]
    assert flagged[0] >= {Rule.USAGE_DROP, Rule.SILENCE, Rule.EXPECTATION_VIOLATED}
    assert flagged[1] == set()


def test_the_store_in_memory_holds_every_relationship_under_its_own_name(made: Templates) -> None:
    store = asyncio.run(filled(made, 3))
    rows = asyncio.run(load(store, new_block(load_playbook(None)), range(3)))
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
    figures = json.loads(json.dumps({"load": 1.0, **measured(TINY, list(PARTS))}))
    assert figures["row_us"] > 0
    assert figures["single_us"] > figures["row_us"]
    assert figures["load_us"] > 0
    assert figures["parts_us"].keys() == {*(rule.value for rule in STATE), "scores"}
    shown = table(figures)
    assert all(name in shown for name in ("single", "silence", "scores"))


STATE = (Rule.USAGE_DROP, Rule.FEATURE_DECLINE, Rule.SILENCE, Rule.EXPECTATION_VIOLATED)


def test_parts_can_be_chosen() -> None:
    assert arguments().parse_args(["--only", "load"]).only == ["load"]
