"""The usual gap between inbound days, and when silence is too long. 2026-06-01 is a Monday."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.columns.block import Block
from shared.domain.contract.calendar import business_days_before
from shared.domain.contract.days import day_of
from shared.domain.contract.events import DAY
from shared.domain.relationship.cadence import cadence
from shared.domain.relationship.facts import Facts
from shared.domain.relationship.state import Directory
from shared.domain.rules.contact import silence
from tests.domain.builders import at, looked, state

MONDAY = day_of(at("2026-06-01"))


def test_no_gap_without_two_days() -> None:
    assert cadence((), False) == (0, 0, 0)
    assert cadence((MONDAY,), False) == (0, 0, 0)


def test_gaps_are_in_business_days() -> None:
    # Mon → Wed 2, Wed → Fri 2, Fri → Mon 1, Mon → Thu 3: sorted 1 2 2 3;
    # median 2; type 7: 0.95 × 3 = 2.85 → 2 + 0.85 × (3 − 2) = 2.85
    days = tuple(MONDAY + day for day in (0, 2, 4, 7, 10))
    assert cadence(days, False) == (2, pytest.approx(2.85), 4)
    # every day: 2 2 3 3 → median 2.5; 2.85 → 3
    assert cadence(days, True) == (2.5, 3, 4)


def test_only_the_last_year_teaches() -> None:
    assert cadence((MONDAY - 366, MONDAY - 7, MONDAY), False) == (5, 5, 1)
    assert cadence((MONDAY - 366, MONDAY), False) == (0, 0, 0)


def facts(*days: int) -> Facts:
    """Inbound touches at 18:00 of these days from Monday on."""
    return Facts(last_in=(MONDAY + days[-1]) * DAY + 18 * 3_600_000, inbound_days=tuple(MONDAY + day for day in days))


def due(facts: Facts, everyday: bool = False) -> tuple[int, float, float]:
    """When silence is too long, the limit and the usual gap; zeros where no cadence is known yet."""
    block = Block(feature_days=68, capacity=1)
    row = block.add(state(facts=facts, directory=Directory(custom={"calendar": "everyday"} if everyday else {})))
    moment = int(looked(silence, block.view([row], [facts.last_in])).due[0])
    if not moment:
        return 0, 0, 0
    numbers = looked(silence, block.view([row], [moment])).numbers
    return moment, numbers["limit"][0], numbers["usual"][0]


def test_silence_is_due_after_the_limit_over_the_weekend() -> None:
    # daily from Monday to Friday: four gaps of 1; limit max(5, 1.5 × 1) = 5; Friday 18:00 + 5 → Friday 18:00
    assert due(facts(0, 1, 2, 3, 4)) == (at("2026-06-12T18:00:00Z"), 5, 1)


def test_a_slow_relationship_may_be_silent_for_longer() -> None:
    # every second week: gaps of 10; 1.5 × 10 = 15 business days = 3 weeks after Monday 2026-07-27 18:00
    assert due(facts(0, 14, 28, 42, 56)) == (at("2026-08-17T18:00:00Z"), 15, 10)


def test_a_calendar_without_weekends() -> None:
    assert due(facts(0, 1, 2, 3, 4), everyday=True)[:2] == (at("2026-06-10T18:00:00Z"), 5)


def test_nothing_is_due_before_a_cadence_is_known() -> None:
    assert due(facts(0, 1, 2, 3)) == (0, 0, 0)


@given(st.lists(st.integers(0, 400), min_size=2, max_size=64, unique=True), st.booleans())
def test_quantiles_are_numpys(days: list[int], everyday: bool) -> None:
    counted = [business_days_before(day, everyday) for day in sorted(days) if day >= max(days) - 365]
    gaps = np.diff(counted)
    expected = (*np.quantile(gaps, [0.5, 0.95]), len(gaps)) if len(gaps) else (0, 0, 0)
    assert cadence(sorted(days), everyday) == pytest.approx(expected)
