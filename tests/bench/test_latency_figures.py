"""The latency bench's schedule, and what it makes of what it saw."""

from __future__ import annotations

import json

import msgspec
import pytest

from bench.latency import Tries, backlog, spread, spreads, summary, table
from bench.open_loop import Plan, Sent, Traffic
from shared.domain.contract.accepting import Acceptance, accept_all
from shared.domain.contract.events import Interaction

PLAN = Plan(1_000, 1.0, 4.0)


def test_batches_leave_ten_times_a_second_whatever_the_rate() -> None:
    for rate in (20, 100, 10_000):
        batches = list(Plan(rate, 1.0, 2.0).batches())
        assert [batch.at for batch in batches] == [number / 10 for number in range(30)]
        assert {batch.events for batch in batches} == {rate // 10}
        assert sum(batch.measured for batch in batches) == 20
        assert [batch.alerting for batch in batches[:4]] == [True, False, True, False]


def test_a_batch_holds_its_events_and_at_most_one_alert_of_a_relationship_of_its_own() -> None:
    traffic, ids, alerts = Traffic("run", 50), set(), set()
    for batch in list(Plan(100, 0.0, 1.0).batches()):
        body, alert = traffic.body(batch)
        answers = accept_all(
            msgspec.json.decode(body, type=list[msgspec.Raw]), Acceptance("t", 4 * 10**12, lambda _, s: s)
        )
        events = [answer for answer in answers if isinstance(answer, Interaction)]
        assert len(events) == len(answers) == batch.events
        ids |= {event.id for event in events}
        detractors = [event for event in events if event.type == "survey.answered"]
        assert len(detractors) == (alert is not None) == batch.alerting
        if alert:
            person = msgspec.json.decode(detractors[0].data)["person"]
            assert alert == (detractors[0].relationship, "nps_detractor", person)
            alerts.add(alert)
    assert (len(ids), len(alerts)) == (100, 5)


def seen(plan: Plan, *, status: int = 202, late: float = 0.5, lag: list[tuple[float, int]] | None = None) -> Tries:
    """Everything answered 0.1 s after it was due, stored after 0.3 s, seen after `late` seconds."""
    traffic = Traffic("run", 50)
    sent = []
    for batch in plan.batches():
        due = 100 + batch.at
        wall = round(due * 1000)
        sent.append(Sent(batch, due, due + 0.01, due + 0.1, wall, status, traffic.body(batch)[1]))
    alerts = sum(one.batch.measured for one in sent if one.alert and status == 202)
    return Tries(plan, sent, [0.3] * alerts, [late] * alerts, lag or [(100.0, 0)], 0.2)


def test_every_latency_is_counted_from_when_the_batch_was_due() -> None:
    found = summary(seen(PLAN))
    assert (found["offered_per_s"], found["refused_batches"], found["unseen_alerts"]) == (1_000, 0, 0)
    expected = {"sent_late": 0.01, "due_to_accepted": 0.1, "due_to_stored": 0.3, "due_to_alert": 0.5}
    for name, seconds in {**expected, "accepted_to_alert": 0.4}.items():
        assert found[name]["p95"] == pytest.approx(seconds), name
    assert found["due_to_alert"]["tries"] == 20
    assert found["reached"]
    assert found["met"]
    assert "target met" in table({"load": 0.5, "rates": {"1000": json.loads(json.dumps(found))}})


@pytest.mark.parametrize(("late", "met"), [(0.7, True), (0.71, False)])
def test_the_target_is_held_against_the_rate_it_names(late: float, met: bool) -> None:
    assert summary(seen(PLAN, late=late))["met"] is met
    assert "met" not in summary(seen(Plan(100, 1.0, 4.0), late=late))


def test_an_alert_never_seen_misses_the_target_and_is_said() -> None:
    tries = seen(PLAN)
    found = summary(msgspec.structs.replace(tries, seen=[None, *tries.seen[1:]]))
    assert (found["unseen_alerts"], found["met"]) == (1, False)
    assert "1 alerts NOT SEEN" in table({"load": 0.5, "rates": {"1000": found}})


def test_a_rate_at_which_batches_are_refused_was_not_reached() -> None:
    found = summary(seen(PLAN, status=503))
    assert (found["accepted_per_s"], found["reached"], found["due_to_alert"]) == (0, False, {})
    assert "RATE NOT REACHED: 40 batches refused" in table({"load": 0.5, "rates": {"1000": found}})


def lagging(*records: int) -> list[tuple[float, int]]:
    return [(100.0 + at, count) for at, count in enumerate(records)]


@pytest.mark.parametrize(
    ("records", "growing"),
    [
        ((0, 900, 0, 1_200, 300, 0), False),  # between two commits
        ((0, 5_000, 20_000, 20_000, 20_000, 20_000), False),  # long, and no longer growing
        ((0, 3_000, 6_000, 9_000, 12_000, 15_000), True),
        ((0, 100, 200, 300, 400, 500), False),  # growing, and nothing yet
    ],
)
def test_a_backlog_that_grows_is_told_from_the_time_between_two_commits(
    records: tuple[int, ...], growing: bool
) -> None:
    found = backlog(seen(PLAN, lag=lagging(*records)))
    assert found["growing"] is growing
    assert found["events"] == records[-1]


def test_a_growing_backlog_is_said_with_its_figures() -> None:
    found = summary(seen(PLAN, lag=lagging(0, 3_000, 6_000, 9_000, 12_000, 15_000)))
    assert not found["met"]
    assert "RATE NOT REACHED: the backlog grew by 3,000 events/s to 15,000" in table(
        {"load": 0.5, "rates": {"1000": found}}
    )


def test_what_is_never_worked_off_is_a_backlog() -> None:
    assert backlog(msgspec.structs.replace(seen(PLAN), drained=None))["growing"]


def test_percentiles_are_all_there() -> None:
    found = spread([number / 100 for number in range(101)])
    assert found["percentiles"] == pytest.approx([number / 100 for number in range(1, 101)])
    assert (found["p50"], found["p99"], found["max"]) == pytest.approx((0.5, 0.99, 1.0))
    assert spread([]) == {}


def test_of_state_rules_the_time_from_the_canonical_moment_is_told_by_rule_and_of_all() -> None:
    late = {"silence": [1.0, 3.0], "usage_drop": [2.0, None]}
    found = spreads(late)
    assert (found["silence"]["p50"], found["usage_drop"]["max"], found["all"]["p50"]) == (2.0, 2.0, 2.0)
    assert (found["all"]["tries"], found["unseen"]) == (3, 1)
    again = {"grain_seconds": 30, **summary(seen(PLAN)), "moment_to_alert": found}
    told = table({"load": 0.5, "rates": {}, "canonical": json.loads(json.dumps(again))})
    assert "with full hours of 30 s" in told
    assert "usage drop" in told
    assert "1 of state rules never seen" in told
