"""What a factor is: one declaration, which its formula, its explanation and its reason in words derive from."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.domain.columns.view import View

Floats = NDArray[np.float64]


class Column(NamedTuple):
    """One factor of every row: value (NaN = no evidence), confidence, and the numbers it came from."""

    value: Floats
    confidence: Floats
    inputs: tuple[Floats, ...]


Words = Callable[[dict[str, float]], str]


class Formula(StrEnum):
    """What a factor is a factor of. `NETWORK` multiplies the index of RI; the others of a formula are averaged."""

    RI = "ri"
    NETWORK = "network"
    RV = "rv"


class Factor(msgspec.Struct, frozen=True):
    """How a factor of a formula is computed, what the numbers it comes from are called, and its reason in words.

    `title` is what pages call it.
    """

    name: str
    title: str
    about: str
    of: Formula
    compute: Callable[[View], Column]
    inputs: tuple[str, ...]
    words: Words


def factor(*inputs: str, of: Formula, words: Words, title: str = "") -> Callable[[Callable[[View], Column]], Factor]:
    """Make a factor of a function over the rows of a view, which gives it its name and says what it is about."""

    def declare(compute: Callable[[View], Column]) -> Factor:
        name, about = compute.__name__, " ".join((compute.__doc__ or "").split())
        return Factor(name, title or name.replace("_", " ").capitalize(), about, of, compute, inputs, words)

    return declare


def confidence(evidence: Floats, half: float) -> Floats:
    """1 − 2^(−evidence / half): half sure after `half` pieces of evidence, not at all without any."""
    sure: Floats = 1 - np.exp2(np.fmax(evidence, 0) / -half)
    return sure


def some(number: float, one: str, many: str = "") -> str:
    """`1 ticket`, `2 tickets`."""
    return f"{number:.0f} {one if round(number) == 1 else many or one + 's'}"


def mean_of(parts: list[tuple[Floats, float]]) -> Floats:
    """Weighted mean of the parts that are not NaN; NaN where there is none."""
    values = np.array([part for part, _ in parts])
    weights = np.array([[weight] for _, weight in parts])
    known = ~np.isnan(values)
    sums = np.where(known, values * weights, 0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean: Floats = sums / (known * weights).sum(axis=0)
    return mean
