"""Relationship Intelligence and Relationship Value out of their factors.

RI = (Quality × Frequency × Trust × Mutual benefit) × Network strength, RV = (Engagement × Satisfaction) × Loyalty.
A factor without evidence is None and left out of the product; the index is the geometric mean of those there are, as
100 × (product)^(1/n), times Network for RI.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.domain.columns.view import View
from shared.domain.relationship.state import Band, Factor, RelationshipState, Score, Scores
from shared.domain.scores import declaration
from shared.domain.scores.declaration import Column, Floats, Formula
from shared.domain.scores.factors import FACTORS, factors_of

Ints = NDArray[np.int64]

WEIGHTS_VERSION = "1"


class ScoreColumns(msgspec.Struct, frozen=True):
    """Scores of every row of a view: raw products and indices (NaN = none), and the factors they are made of."""

    at: Ints
    ri_raw: Floats
    ri: Floats
    rv_raw: Floats
    rv: Floats
    factors: dict[str, Column]

    def indices(self) -> list[tuple[float | None, float | None]]:
        """RI and RV of each row."""
        return list(zip(_known(self.ri), _known(self.rv), strict=True))

    def rows(self) -> list[tuple[Scores, tuple[float | None, ...]]]:
        """For each row its scores, without factors, and the numbers that explain them."""
        return [
            (Scores(_brief(ri_raw, ri), _brief(rv_raw, rv), at, WEIGHTS_VERSION), tuple(numbers))
            for ri_raw, ri, rv_raw, rv, at, numbers in zip(
                *map(_known, (self.ri_raw, self.ri, self.rv_raw, self.rv)),
                self.at.tolist(),
                _known(np.stack([column for one in self.factors.values() for column in _numbers(one)], axis=1)),
                strict=True,
            )
        ]


def _known(numbers: Floats) -> list[Any]:
    """The numbers as lists, None for NaN."""
    return np.where(np.isnan(numbers), None, numbers).tolist()  # type: ignore[call-overload, no-any-return]


def _brief(raw: float | None, index: float | None) -> Score:
    return Score(raw=raw, index=index, band=band_of(index))


def band_of(index: float | None) -> Band:
    """Red 0-50, yellow 51-75, green 76-100, of the index rounded to a whole number (halves up)."""
    if index is None:
        return Band.UNKNOWN
    return Band.RED if index < 50.5 else Band.YELLOW if index < 75.5 else Band.GREEN


def score_columns(view: View) -> ScoreColumns:
    """Scores of every row of the view."""
    found = {name: factor.compute(view) for name, factor in FACTORS.items()}
    ri_raw, ri = _product(_values(found, Formula.RI), _strength(found))
    rv_raw, rv = _product(_values(found, Formula.RV), np.ones(len(view)))
    # Loyalty is known of everybody; without engagement or satisfaction it says nothing about the value
    unknown = np.isnan(found["engagement"].value) & np.isnan(found["satisfaction"].value)
    rv_raw[unknown] = rv[unknown] = np.nan
    return ScoreColumns(view.at, ri_raw.round(6), ri.round(2), rv_raw.round(6), rv.round(2), found)


def _values(found: dict[str, Column], formula: Formula) -> Floats:
    """The values of a formula's factors: shape (factors, rows)."""
    return np.array([found[name].value for name in factors_of(formula)])


def _strength(found: dict[str, Column]) -> Floats:
    """What multiplies the index of RI; a factor of it that is not known takes nothing away."""
    values = _values(found, Formula.NETWORK)
    strength: Floats = np.where(np.isnan(values), 1.0, values).prod(axis=0)
    return strength


def _product(values: Floats, strength: Floats) -> tuple[Floats, Floats]:
    """Raw product and index of factors (shape: factors, rows), NaN where there is none."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    product = np.where(count > 0, np.where(known, values, 1.0).prod(axis=0), np.nan)
    return product * strength, 100 * product ** (1 / np.maximum(count, 1)) * strength


def _numbers(column: Column) -> list[Floats]:
    """Value, confidence and inputs, all NaN where there is no evidence."""
    none = np.isnan(column.value)
    rounded = (column.value.round(4), column.confidence.round(3), *(numbers.round(4) for numbers in column.inputs))
    return [np.where(none, np.nan, numbers) for numbers in rounded]


def score(view: View) -> list[Scores]:
    """Scores of every row of the view, with their factors and reasons."""
    return [_explained(scores, numbers) for scores, numbers in score_columns(view).rows()]


def explained(state: RelationshipState) -> Scores:
    """The scores of a state, taken apart into their factors, with reasons."""
    return _explained(state.scores, state.numbers) if len(state.numbers) == WIDTH else state.scores


def _explained(scores: Scores, numbers: Sequence[float | None]) -> Scores:
    factors = {name: _factor(rule, numbers[PLACES[name]]) for name, rule in FACTORS.items()}
    ri = {name: factors[name] for name in factors_of(Formula.RI, Formula.NETWORK)}
    rv = {name: factors[name] for name in factors_of(Formula.RV)}
    replace = msgspec.structs.replace
    return replace(scores, ri=replace(scores.ri, factors=ri), rv=replace(scores.rv, factors=rv))


def _factor(rule: declaration.Factor, numbers: Sequence[float | None]) -> Factor:
    value, confidence, *rest = numbers
    if value is None:
        return Factor(value=None, confidence=0.0, reason="no evidence yet")
    inputs = {name: number for name, number in zip(rule.inputs, rest, strict=True) if number is not None}
    return Factor(value, confidence or 0.0, rule.words(inputs), inputs)


def _places() -> Iterator[tuple[str, slice]]:
    at = 0
    for name, rule in FACTORS.items():
        yield name, slice(at, at + 2 + len(rule.inputs))
        at += 2 + len(rule.inputs)


PLACES = dict(_places())
"""Where each factor's value, confidence and inputs stand among a state's `numbers`."""
WIDTH = sum(2 + len(rule.inputs) for rule in FACTORS.values())
"""How many numbers there are; a state that has others was scored by other factors."""
