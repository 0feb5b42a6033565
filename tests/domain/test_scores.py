"""Factors and scores by hand, and their bounds for any facts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.columns.block import Block
from shared.domain.columns.row import Entry
from shared.domain.columns.view import View
from shared.domain.contract.days import day_of
from shared.domain.contract.events import DAY
from shared.domain.relationship.facts import Facts, Person, Promise, Survey
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.state import Band, Directory, Factor, RelationshipState, Scores
from shared.domain.scores.declaration import Formula, confidence
from shared.domain.scores.factors import FACTORS, factors_of
from shared.domain.scores.formulas import band_of, explained, score, score_columns
from tests.domain.builders import LOG, at, state

NOW = at("2026-06-01T12:00:00Z")
TODAY = day_of(NOW)


def view_of(
    facts: Facts | None = None, counted: dict[tuple[str, str, int], float] | None = None, **fields: Any
) -> View:
    """A view of one row: `counted` by metric, person and days ago."""
    block = Block(feature_days=68, capacity=1)
    fields.setdefault("first_seen", NOW - 365 * DAY)
    row = block.add(state(facts=facts or Facts(), **fields))
    entries = [Entry(metric, who, TODAY - ago, count) for (metric, who, ago), count in (counted or {}).items()]
    block.count(row, entries, Fence(LOG, 0, 0))
    return block.view([row], [NOW])


def factor(name: str, view: View) -> Factor:
    scored = score(view)[0]
    return (scored.ri.factors | scored.rv.factors)[name]


def surveys(**answers: float) -> dict[str, Survey]:
    return {name: Survey(score=value, at=NOW, event="e") for name, value in answers.items()}


def test_without_evidence_nothing_is_invented() -> None:
    block = Block(feature_days=68, capacity=1)
    scored = score(block.view([block.add(state())], [NOW]))[0]
    assert (scored.ri.raw, scored.ri.index, scored.ri.band) == (None, None, Band.UNKNOWN)
    assert (scored.rv.raw, scored.rv.index, scored.rv.band) == (None, None, Band.UNKNOWN)
    nothing = Factor(value=None, confidence=0.0, reason="no evidence yet")
    assert set(map(str, [*scored.ri.factors.values(), *scored.rv.factors.values()])) == {str(nothing)}
    assert (scored.at, scored.weights) == (NOW, "1")


def test_quality() -> None:
    # nps 8 / 10 = 0.8 (weight 2), csat (4 − 1) / 4 = 0.75 (2), sentiment (0.5 + 1) / 2 = 0.75 (1):
    # (1.6 + 1.5 + 0.75) / 5 = 0.77; 5 tickets open: × 2^−0.5 = 0.5445; evidence 2 × 2 + 4 = 8: 1 − 2^(−8/3) = 0.843
    facts = Facts(
        surveys=surveys(nps=8, csat=4),
        sentiment_sum=2.0,
        sentiment_count=4,
        tickets={str(number): NOW for number in range(5)},
    )
    assert factor("quality", view_of(facts)) == Factor(
        value=0.5445,
        confidence=0.843,
        reason="surveys and sentiment at 77%, 5 tickets open",
        inputs={"said": 0.77, "open_tickets": 5},
    )
    assert factor("satisfaction", view_of(facts)) == Factor(0.77, 0.843, "surveys and sentiment at 77%", {"said": 0.77})


@pytest.mark.parametrize(
    ("instrument", "worst", "best"), [("nps", 0, 10), ("enps", 0, 10), ("csat", 1, 5), ("ces", 1, 7), ("pulse", 1, 5)]
)
def test_scales_of_surveys(instrument: str, worst: float, best: float) -> None:
    for answer, value in ((worst, 0), ((worst + best) / 2, 0.5), (best, 1)):
        assert factor("satisfaction", view_of(Facts(surveys=surveys(**{instrument: answer})))).value == value


def test_a_scale_of_ones_own_stays_within_bounds() -> None:
    assert factor("satisfaction", view_of(Facts(surveys=surveys(csat=90)))).value == 1
    assert factor("satisfaction", view_of(Facts(surveys=surveys(csat=-3)))).value == 0


def test_frequency_against_what_is_usual() -> None:
    # first touch 130 days ago; 10 touches before, in 130 − 30 = 100 days: 3 in 30 days; now 1: (1 + ½) / (3 + ½)
    facts = Facts(first_touch=NOW - 130 * DAY, last_in=NOW - DAY)
    counted = {("in:email", "", 1): 1.0, ("out:email", "", 100): 10.0}
    assert factor("frequency", view_of(facts, counted)) == Factor(
        value=0.4286,  # 1.5 / 3.5
        confidence=0.719,  # 1 − 2^(−11/6)
        reason="1 touch in 30 days, 3.0 are usual",
        inputs={"recent": 1, "usual": 3},
    )


@pytest.mark.parametrize(("last", "value"), [(1, 1), (30, 1), (60, 0.7071), (59, 0.7153)])
def test_frequency_of_what_is_new_goes_by_the_last_touch(last: int, value: float) -> None:
    # beyond 30 days it halves every 60: 2^(−30/60) = 0.7071
    facts = Facts(first_touch=NOW - 60 * DAY, last_out=NOW - last * DAY)
    found = factor("frequency", view_of(facts, {("out:email", "", last): 1.0}))
    assert found.value == value
    assert found.reason.endswith(" in 30 days, too new for a usual rate")


def test_frequency_of_what_has_had_no_touch_in_a_year_is_unknown() -> None:
    facts = Facts(first_touch=NOW - 500 * DAY, last_in=NOW - 400 * DAY)
    assert factor("frequency", view_of(facts, {("in:order", "", 399): 2.0})).value is None


def test_trust() -> None:
    # good 3 + 2 + 1 = 6, bad 1 + 0 + 1 = 2: (6 + 1) / (8 + 2) = 0.7; tenure 365 of 730 days = 0.5;
    # 0.8 × 0.7 + 0.2 × 0.5 = 0.66; confidence 1 − 2^(−8/5) = 0.670
    facts = Facts(promises_kept=3, payments=2, outcomes=1, promises_broken=1, escalations=1)
    assert factor("trust", view_of(facts)) == Factor(
        value=0.66,
        confidence=0.67,
        reason="6 promises, payments and outcomes kept, 2 broken, overdue or escalated",
        inputs={"good": 6, "bad": 2, "tenure_days": 365},
    )
    assert factor("trust", view_of()).value is None


def test_a_promise_past_its_deadline_counts_against_us() -> None:
    # good 3, bad: one of ours is late; theirs, one to come and one said to be broken do not count here (that one is
    # counted as broken, by promises_broken): (3 + 1) / (4 + 2) = 0.6667; 0.8 × 0.6667 + 0.2 × 0.5 = 0.6333
    def promise(due: int, by: str = "us", broken_at: int = 0) -> Promise:
        return Promise(due=due, by=by, made_at=0, event="e", broken_at=broken_at)

    promises = {
        "late": promise(NOW),
        "theirs": promise(NOW, by="them"),
        "to come": promise(NOW + 1),
        "broken": promise(NOW - DAY, broken_at=NOW - DAY),
    }
    found = factor("trust", view_of(Facts(promises_kept=3, promises=promises)))
    assert (found.value, found.inputs["bad"]) == (0.6333, 1)


def test_mutual_benefit() -> None:
    # use: 30 in the last 30 days, 60 before: depth (30 + 1) / (90 / 3 + 1) = 1; 2 of 8 seats = 0.25; them 0.625
    # us: 2 payments and 1 referral = 4: 1 − 2^−2 = 0.75; √(0.625 × 0.75) = 0.6847
    counted = {("use:x", "ana", 1): 20.0, ("use:x", "bob", 2): 10.0, ("use:x", "eve", 50): 60.0}
    view = view_of(Facts(payments=2, referrals=1), counted, directory=Directory(seats=8))
    found = factor("mutual_benefit", view)
    assert (found.value, found.confidence) == (0.6847, 0.215)  # three days with use + 4: 1 − 2^(−7/20)
    assert found.reason == "2 of 8 seats active, use at 100% of its level"
    assert found.inputs == {"people": 2, "seats": 8, "depth": 1, "to_us": 0.75}


def test_mutual_benefit_of_one_side_alone() -> None:
    # depth (0 + 1) / (90 / 3 + 1) = 0.0323
    found = factor("mutual_benefit", view_of(counted={("use:x", "ana", 50): 90.0}))
    assert (found.value, found.reason) == (
        0.0323,
        "0 people active, use at 3% of its level; what it is worth to us is not known",
    )
    found = factor("mutual_benefit", view_of(counted={("use:x", "ana", 1): 1.0}))
    assert found.reason.startswith("1 person active, ")
    found = factor("mutual_benefit", view_of(Facts(payments=2)))
    assert (found.value, found.reason) == (0.5, "0 people active, no use seen")


@pytest.mark.parametrize(
    ("seats", "people", "value", "needed"),
    [
        (0, 1, 1, 1),  # of unknown size: one person is enough
        (1, 1, 1, 1),
        (3, 1, 0.5, 2),  # log2(1 + 3) = 2
        (7, 3, 1, 3),
        (100, 3, 0.4286, 7),  # log2(101) = 6.66
        (1_000_000, 1, 0.3, 8),  # never below 0.3
        (7, 9, 1, 3),
    ],
)
def test_network(seats: int, people: int, value: float, needed: int) -> None:
    facts = Facts(people={f"person {number}": Person(last_in=NOW) for number in range(people)})
    found = factor("network", view_of(facts, directory=Directory(seats=seats)))
    assert (found.value, found.inputs) == (value, {"people": people, "needed": needed})
    assert found.reason == f"{people} {'person' if people == 1 else 'people'} in touch, {needed} make it safe"
    assert found.confidence == round(1 - 2 ** (-people / 2), 3)


def test_engagement() -> None:
    # use: 10 now, 60 in the 90 days before = 20 in 30: 10.5 / 20.5 = 0.5122; touches: 1 now, none before → 1
    counted = {("use:x", "", 0): 10.0, ("use:x", "", 30): 30.0, ("use:x", "", 119): 30.0, ("in:email", "", 29): 1.0}
    found = factor("engagement", view_of(counted=counted))
    assert found.value == 0.7561  # (0.5122 + 1) / 2
    assert found.reason == "use at 51% of usual, touches at 100% of usual"
    assert found.confidence == 0.129  # four days: 1 − 2^(−4/20)
    found = factor("engagement", view_of(counted={("in:email", "", 40): 3.0}))
    assert found.reason == "touches at 33% of usual"  # 0.5 / 1.5
    assert factor("engagement", view_of(counted={("out:email", "", 4): 3.0})).value is None


def test_loyalty() -> None:
    # 0.3 + 0.5 × 365 / 730 + 0.2 × (1 − 2^−1) = 0.65; confidence 1 − 2^(−365/180)
    found = factor("loyalty", view_of(Facts(referrals=1)))
    assert (found.value, found.confidence) == (0.65, 0.755)
    assert found.reason == "with us for 365 days, 1 referral"
    assert factor("loyalty", view_of(first_seen=NOW - 3_000 * DAY)).value == 0.8


def test_the_product_and_the_index() -> None:
    # quality 0.5 (nps 5), trust 0.8 × ½ + 0.2 × 0.5 = 0.5 (1 good, 1 bad); the others unknown
    # raw 0.25; index 100 × 0.25^(1/2) = 50; two people known to nobody: network unknown, 1
    facts = Facts(surveys=surveys(nps=5), promises_kept=1, promises_broken=1)
    scored = score(view_of(facts))[0]
    assert (scored.ri.raw, scored.ri.index, scored.ri.band) == (0.25, 50, Band.RED)
    # value: satisfaction 0.5 × loyalty (0.3 + 0.25) = 0.275; 100 × √0.275 = 52.44
    assert (scored.rv.raw, scored.rv.index, scored.rv.band) == (0.275, 52.44, Band.YELLOW)
    # one of two people for three seats: network 0.5
    alone = msgspec.structs.replace(facts, people={"ana": Person(last_in=NOW)})
    scored = score(view_of(alone, directory=Directory(seats=3)))[0]
    assert (scored.ri.raw, scored.ri.index) == (0.125, 25)


def test_loyalty_alone_says_nothing_of_value() -> None:
    scored = score(view_of(Facts(referrals=9)))[0]
    assert scored.rv.factors["loyalty"].value is not None
    assert (scored.rv.raw, scored.rv.index, scored.rv.band) == (None, None, Band.UNKNOWN)


@pytest.mark.parametrize(
    ("index", "band"),
    [
        (None, Band.UNKNOWN),
        (0, Band.RED),
        (50, Band.RED),
        (50.4, Band.RED),
        (50.49, Band.RED),
        (50.5, Band.YELLOW),
        (51, Band.YELLOW),
        (75, Band.YELLOW),
        (75.49, Band.YELLOW),
        (75.5, Band.GREEN),
        (76, Band.GREEN),
        (100, Band.GREEN),
    ],
)
def test_bands(index: float | None, band: Band) -> None:
    assert band_of(index) == band


def test_many_rows_are_scored_as_one_by_one() -> None:
    block = Block(feature_days=68, capacity=1)
    rows = []
    for number in range(4):
        facts = Facts(
            surveys=surveys(nps=number) if number % 2 else {}, payments=number, first_touch=NOW - number * DAY
        )
        fresh = state(facts=facts, first_seen=NOW - 90 * DAY)
        fresh.id = f"t/{number}"
        row = block.add(fresh)
        block.count(row, [Entry("use:x", "ana", TODAY - number, 3.0)] * number, Fence(LOG, 0, 0))
        rows.append(row)
    together = score(block.view(rows, [NOW - number for number in range(4)]))
    assert together == [score(block.view([row], [NOW - number]))[0] for number, row in enumerate(rows)]


count = st.integers(0, 400)
moment = st.just(0) | st.integers(NOW - 3_000 * DAY, NOW + DAY)
facts_of_any_kind = st.builds(
    Facts,
    first_touch=moment,
    last_in=moment,
    last_out=moment,
    promises_kept=count,
    promises_broken=count,
    payments=count,
    payments_overdue=count,
    escalations=count,
    referrals=count,
    outcomes=count,
    tickets=st.dictionaries(st.text(max_size=2), moment, max_size=4),
    surveys=st.dictionaries(
        st.sampled_from(("nps", "enps", "csat", "ces", "pulse")),
        st.builds(Survey, score=st.floats(-1e6, 1e6), at=moment, event=st.just("e")),
    ),
    people=st.dictionaries(st.text(max_size=2), st.builds(Person, last_in=moment, left_at=moment), max_size=5),
)
counters = st.dictionaries(
    st.tuples(st.sampled_from(("use:x", "in:y", "out:y", "both:z")), st.sampled_from(("", "a")), st.integers(-1, 380)),
    st.floats(0, 1e12),
    max_size=8,
)


@settings(max_examples=50, deadline=None)
@given(facts_of_any_kind, counters, st.integers(0, 5_000), moment)
def test_bounds_hold_for_any_facts(
    facts: Facts, counted: dict[tuple[str, str, int], float], seats: int, first_seen: int
) -> None:
    scored = score(view_of(facts, counted, directory=Directory(seats=seats), first_seen=first_seen))[0]
    for which in (scored.ri, scored.rv):
        assert which.index is None or 0 <= which.index <= 100
        assert which.raw is None or 0 <= which.raw <= 1
        assert (which.index is None) == (which.raw is None) == (which.band == Band.UNKNOWN)
        for found in which.factors.values():
            assert found.value is None or 0 <= found.value <= 1
            assert 0 <= found.confidence <= 1
            assert found.reason
            assert "nan" not in found.reason
            assert all(math.isfinite(number) for number in found.inputs.values())
    assert b"null" not in msgspec.json.encode([found.inputs for found in scored.ri.factors.values()])
    assert msgspec.json.decode(msgspec.json.encode(scored), type=Scores) == scored


def test_what_is_stored_of_scores_explains_them() -> None:
    view = view_of(Facts(surveys=surveys(nps=8), promises_kept=3), {("in:email", "ana", 1): 2.0})
    scores, numbers = score_columns(view).rows()[0]
    assert (scores.ri.factors, scores.rv.factors) == ({}, {})
    stored = msgspec.json.decode(msgspec.json.encode(state(scores=scores, numbers=numbers)), type=RelationshipState)
    assert explained(stored) == score(view)[0]
    assert explained(stored).ri.factors["quality"].reason == "surveys and sentiment at 80%, 0 tickets open"
    assert list(explained(stored).ri.factors) == list(factors_of(Formula.RI, Formula.NETWORK))
    assert list(explained(stored).rv.factors) == list(factors_of(Formula.RV))
    assert {*explained(stored).ri.factors, *explained(stored).rv.factors} == set(FACTORS)
    assert explained(state()) == Scores()  # nothing has been scored yet


def test_the_page_on_scores_has_a_row_for_every_factor() -> None:
    page = (Path(__file__).parents[2] / "docs" / "scores.md").read_text(encoding="utf-8")
    intelligence, value = page.split("## Relationship Intelligence (RI)\n")[1].split("## Relationship Value (RV)\n")
    for name, one in FACTORS.items():
        assert f"\n| {one.title} | " in (value if one.of is Formula.RV else intelligence), name


def test_confidence_is_nought_without_evidence() -> None:
    assert confidence(np.array([np.nan, -5.0, 0.0, 3.0]), 3.0).tolist() == [0, 0, 0, 0.5]
