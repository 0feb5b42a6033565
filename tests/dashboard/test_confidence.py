"""How sure a score is said to be."""

from __future__ import annotations

import pytest

from services.api.confidence import ENOUGH, LITTLE, ri_confidence, rv_confidence, standing
from services.api.web.rows import row_of
from shared.domain.relationship.state import Band, RelationshipState, Score, Scores
from tests.domain.builders import numbers_of

GREEN = Score(0.8, 89.0, Band.GREEN)


def a_head(ri: Score = GREEN, rv: Score = GREEN, **factors: tuple[float | None, ...]) -> RelationshipState:
    numbers = numbers_of(**factors) if factors else ()
    return RelationshipState(id="t/a", tenant="t", relationship="a", scores=Scores(ri, rv), numbers=numbers)


def test_it_is_the_mean_confidence_of_the_factors_that_have_evidence() -> None:
    state = a_head(frequency=(0.8, 0.1, 1.0, 2.0), network=(1.0, 0.3, 1.0, 1.0), engagement=(1.0, 0.9, 1.0, None))
    assert ri_confidence(state) == 0.2
    assert rv_confidence(state) == 0.9


def test_a_long_tenure_alone_makes_no_value_sure() -> None:
    state = a_head(engagement=(1.0, 0.1, 1.0, None), loyalty=(0.8, 1.0, 900.0, 0.0))
    assert rv_confidence(state) == 0.1


def test_without_a_score_or_its_factors_there_is_none() -> None:
    assert ri_confidence(a_head()) is None
    assert rv_confidence(a_head(rv=Score(), loyalty=(0.8, 1.0, 900.0, 0.0))) is None
    assert ri_confidence(a_head(engagement=(1.0, 0.9, 1.0, None))) is None


@pytest.mark.parametrize(
    ("confidence", "word"), [(ENOUGH - 0.001, LITTLE), (ENOUGH, "green"), (1.0, "green"), (None, "green")]
)
def test_a_score_by_little_evidence_is_not_called_by_its_band(confidence: float | None, word: str) -> None:
    assert standing(GREEN, confidence) == word


def test_the_portfolio_says_so_too() -> None:
    assert row_of(a_head(frequency=(0.8, 0.1, 1.0, 2.0))).band == LITTLE
    assert row_of(a_head(frequency=(0.8, 0.6, 1.0, 2.0))).band == "green"
