"""How sure a score is: the mean confidence of the factors that it is made of."""

from __future__ import annotations

from collections.abc import Iterable

from shared.domain.relationship.state import RelationshipState, Score
from shared.domain.scores.declaration import Formula
from shared.domain.scores.factors import factors_of
from shared.domain.scores.formulas import PLACES, WIDTH

LITTLE = "little"  # what a score is called instead of its band when it rests on too little evidence
ENOUGH = round(1 - 2**-0.5, 3)
"""Below this mean confidence evidence is little. A factor reaches it with half of what makes it half sure: with less, a
few more events may move it anywhere. Rounded as confidences are."""


_RI = tuple(factors_of(Formula.RI, Formula.NETWORK))
_RV = tuple(name for name in factors_of(Formula.RV) if name != "loyalty")
"""Loyalty is known of everybody: that somebody has long been there makes nothing else about them surer."""


def ri_confidence(state: RelationshipState) -> float | None:
    """How sure the Relationship Intelligence is, 0 to 1; None without a score, or if its factors are not known."""
    return _mean(state, state.scores.ri, _RI)


def rv_confidence(state: RelationshipState) -> float | None:
    """The same of the Relationship Value."""
    return _mean(state, state.scores.rv, _RV)


def standing(score: Score, confidence: float | None) -> str:
    """The band as it is shown: LITTLE instead of a colour that the evidence does not bear."""
    return LITTLE if confidence is not None and confidence < ENOUGH else str(score.band)


def _mean(state: RelationshipState, score: Score, factors: Iterable[str]) -> float | None:
    if score.index is None or len(state.numbers) != WIDTH:
        return None
    confidences = (state.numbers[PLACES[name].start + 1] for name in factors)
    found = [one for one in confidences if one is not None]
    return round(sum(found) / len(found), 3) if found else None
