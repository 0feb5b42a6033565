"""Relationship Intelligence and Relationship Value: factors in [0, 1] from evidence, first versions.

RI = (Quality × Frequency × Trust × Mutual benefit) × Network strength, RV = (Engagement × Satisfaction) × Loyalty.
A factor without evidence is None and left out of the product; the index is the geometric mean of those there are, as
100 × (product)^(1/n), times Network for RI. Every function is vectorised: one entry a row of the view.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.domain.columns.row import INBOUND, OUTBOUND, USAGE
from shared.domain.columns.view import View
from shared.domain.contract.events import DAY
from shared.domain.relationship.state import Band, Factor, RelationshipState, Score, Scores

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WEIGHTS_VERSION = "1"
YEAR = 365.0  # days


class Column(NamedTuple):
    """One factor of every row: value (NaN = no evidence), confidence, and the numbers it came from."""

    value: Floats
    confidence: Floats
    inputs: tuple[Floats, ...]


Words = Callable[[dict[str, float]], str]


class FactorRule(msgspec.Struct, frozen=True):
    """How a factor is computed, what the numbers it comes from are called, and its reason in words of these."""

    compute: Callable[[View], Column]
    inputs: tuple[str, ...]
    words: Words


def factor(*inputs: str, words: Words) -> Callable[[Callable[[View], Column]], FactorRule]:
    """Make a factor of a function over the rows of a view."""
    return lambda compute: FactorRule(compute, inputs, words)


def _confidence(evidence: Floats, half: float) -> Floats:
    """1 − 2^(−evidence / half): half sure after `half` pieces of evidence, not at all without any."""
    sure: Floats = 1 - np.exp2(-np.maximum(np.nan_to_num(evidence), 0) / half)
    return sure


def _some(number: float, one: str, many: str = "") -> str:
    """`1 ticket`, `2 tickets`."""
    return f"{number:.0f} {one if round(number) == 1 else many or one + 's'}"


def _mean(parts: list[tuple[Floats, float]]) -> Floats:
    """Weighted mean of the parts that are not NaN; NaN where there is none."""
    values = np.stack([part for part, _ in parts])
    weights = np.array([weight for _, weight in parts])[:, None] * ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.nansum(values * weights, axis=0) / weights.sum(axis=0)
    return mean


def _satisfaction(view: View) -> tuple[Floats, Floats]:
    """Surveys and sentiment on [0, 1], and how many pieces of evidence there are."""
    parts = [
        (view.fact("nps") / 10, 2.0),
        (view.fact("enps") / 10, 2.0),
        ((view.fact("csat") - 1) / 4, 2.0),
        ((view.fact("ces") - 1) / 6, 1.0),
        ((view.fact("pulse") - 1) / 4, 1.0),
        ((view.fact("sentiment") + 1) / 2, 1.0),
    ]
    return np.clip(_mean(parts), 0, 1), view.fact("surveys") * 2 + view.fact("sentiment_count")


@factor(
    "said",
    "open_tickets",
    words=lambda n: f"surveys and sentiment at {n['said']:.0%}, {_some(n['open_tickets'], 'ticket')} open",
)
def quality(view: View) -> Column:
    """What they say: surveys and sentiment, less for tickets that stay open."""
    said, evidence = _satisfaction(view)
    tickets = view.fact("open_tickets")
    return Column(
        value=said * np.exp2(-tickets / 10),
        confidence=_confidence(evidence, 3),
        inputs=(said, tickets),
    )


@factor(
    "recent",
    "usual",
    words=lambda n: (
        f"{_some(n['recent'], 'touch', 'touches')} in 30 days"
        + (f", {n['usual']:.1f} are usual" if "usual" in n else ", too new for a usual rate")
    ),
)
def frequency(view: View) -> Column:
    """Two-way touch rate over 30 days against what has been usual since the first touch, up to a year."""
    days = (view.at - view.fact("first_touch")) / DAY
    touches = view.window(INBOUND, 365) + view.window(OUTBOUND, 365)
    recent = view.window(INBOUND, 30) + view.window(OUTBOUND, 30)
    usual = (touches - recent) * 30 / np.maximum(np.minimum(days, YEAR) - 30, 1)
    usual = np.where(days > 60, usual, np.nan)
    last = (view.at - np.fmax(view.fact("last_in"), view.fact("last_out"))) / DAY
    fresh = np.exp2(-np.maximum(last - 30, 0) / 60)  # too new for a usual rate: by the age of the last touch
    value = np.where(np.isnan(usual), fresh, np.minimum(1, (recent + 0.5) / (usual + 0.5)))
    return Column(
        value=np.where(touches > 0, value, np.nan),  # nothing in a year: nothing to judge by, silence is a rule
        confidence=_confidence(touches, 6),
        inputs=(recent, usual),
    )


@factor(
    "good",
    "bad",
    "tenure_days",
    words=lambda n: (
        f"{n['good']:.0f} promises, payments and outcomes kept, {n['bad']:.0f} broken, overdue or escalated"
    ),
)
def trust(view: View) -> Column:
    """Promises kept and payments on time against those broken, overdue and escalated (Beta mean), with tenure."""
    good = view.fact("kept") + view.fact("payments") + view.fact("outcomes")
    bad = view.fact("broken") + view.fact("overdue") + view.fact("escalations") + _promises_overdue(view)
    tenure = np.clip((view.at - view.fact("first_seen")) / DAY / (2 * YEAR), 0, 1)
    evidence = good + bad
    record = (good + 1) / (evidence + 2)  # uniform prior: Laplace's rule of succession
    value = np.where(evidence > 0, 0.8 * record + 0.2 * tenure, np.nan)
    return Column(
        value=value,
        confidence=_confidence(evidence, 5),
        inputs=(good, bad, np.nan_to_num((view.at - view.fact("first_seen")) / DAY)),
    )


def _promises_overdue(view: View) -> Floats:
    """Open promises of ours whose deadline has passed (those that were broken in so many words count as broken)."""
    overdue = np.zeros(len(view))
    for position in np.flatnonzero(view.fact("promises") > 0).tolist():
        at = view.at[position]
        overdue[position] = sum(
            promise.due <= at and promise.by != "them" and not promise.broken_at
            for promise in view.rows[position].state.facts.promises.values()
        )
    return overdue


@factor(
    "people",
    "seats",
    "depth",
    "to_us",
    words=lambda n: (
        (
            f"{n['people']:.0f} of {n['seats']:.0f} seats active"
            if "seats" in n
            else f"{_some(n['people'], 'person', 'people')} active"
        )
        + (f", use at {n['depth']:.0%} of its level" if "depth" in n else ", no use seen")
        + ("" if "to_us" in n else "; what it is worth to us is not known")
    ),
)
def mutual_benefit(view: View) -> Column:
    """Realised value to them (people against seats, use against its usual level) and to us (payments, referrals)."""
    use, days = view.window(USAGE, 90), view.days_with((USAGE,), 90)
    used = days > 0
    depth = np.where(used, np.minimum(1, (view.window(USAGE, 30) + 1) / (use / 3 + 1)), np.nan)
    people = view.people(30).astype(np.float64)
    breadth = np.where(used, np.minimum(1, people / view.fact("seats")), np.nan)
    them = _mean([(depth, 1.0), (breadth, 1.0)])
    gives = view.fact("payments") + view.fact("referrals") * 2
    us = np.where(gives > 0, 1 - np.exp2(-gives / 2), np.nan)
    both = np.where(np.isnan(us), them, np.where(np.isnan(them), us, np.sqrt(them * us)))
    return Column(
        value=both,
        confidence=_confidence(days + gives, 20),
        inputs=(people, view.fact("seats"), depth, us),
    )


@factor(
    "people",
    "needed",
    words=lambda n: f"{_some(n['people'], 'person', 'people')} in touch, {n['needed']:.0f} make it safe",
)
def network(view: View) -> Column:
    """People in touch over 90 days against what its size needs: one, and one more for each doubling of the seats."""
    people = view.people(90).astype(np.float64)
    seats = view.fact("seats")
    needed = np.clip(np.ceil(np.log2(1 + np.nan_to_num(seats, nan=1))), 1, 8)  # of unknown size: small
    known = people > 0
    return Column(
        value=np.where(known, np.clip(people / needed, 0.3, 1), np.nan),
        confidence=_confidence(people, 2),
        inputs=(people, needed),
    )


@factor(
    "use",
    "touches",
    words=lambda n: ", ".join(f"{name} at {n[name]:.0%} of usual" for name in ("use", "touches") if name in n),
)
def engagement(view: View) -> Column:
    """Use and touches of 30 days against the 90 days before."""
    parts = []
    for which in (USAGE, INBOUND):
        now = view.window(which, 30)
        usual = (view.window(which, 120) - now) / 3
        some = (usual + now) > 0
        parts.append((np.where(some, np.minimum(1, (now + 0.5) / (usual + 0.5)), np.nan), 1.0))
    return Column(
        value=_mean(parts),
        confidence=_confidence(view.days_with((USAGE, INBOUND), 120), 20),
        inputs=(parts[0][0], parts[1][0]),
    )


@factor("said", words=lambda n: f"surveys and sentiment at {n['said']:.0%}")
def satisfaction(view: View) -> Column:
    """Surveys and sentiment alone."""
    said, evidence = _satisfaction(view)
    return Column(said, _confidence(evidence, 3), (said,))


@factor(
    "tenure_days",
    "referrals",
    words=lambda n: f"with us for {_some(n['tenure_days'], 'day')}, {_some(n['referrals'], 'referral')}",
)
def loyalty(view: View) -> Column:
    """Tenure (two years are full) and referrals."""
    tenure = (view.at - view.fact("first_seen")) / DAY
    stays = np.clip(tenure / (2 * YEAR), 0, 1)
    refers = 1 - np.exp2(-view.fact("referrals"))
    return Column(
        value=0.3 + 0.5 * stays + 0.2 * refers,
        confidence=_confidence(np.nan_to_num(tenure), 180),
        inputs=(tenure, view.fact("referrals")),
    )


RI_FACTORS = {"quality": quality, "frequency": frequency, "trust": trust, "mutual_benefit": mutual_benefit}
RV_FACTORS = {"engagement": engagement, "satisfaction": satisfaction, "loyalty": loyalty}
FACTORS = RI_FACTORS | {"network": network} | RV_FACTORS
"""All factors, in the order in which a state's `numbers` hold them: value, confidence, inputs of each."""


class ScoreColumns(msgspec.Struct, frozen=True):
    """Scores of every row of a view: raw products and indices (NaN = none), and the numbers they are made of."""

    at: Ints
    ri_raw: Floats
    ri: Floats
    rv_raw: Floats
    rv: Floats
    numbers: Floats

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
                _known(self.numbers),
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
    found = {name: rule.compute(view) for name, rule in FACTORS.items()}
    net = found["network"].value
    ri_raw, ri = _product(np.stack([found[name].value for name in RI_FACTORS]), np.where(np.isnan(net), 1.0, net))
    rv_raw, rv = _product(np.stack([found[name].value for name in RV_FACTORS]), np.ones(len(view)))
    # Loyalty is known of everybody; without engagement or satisfaction it says nothing about the value
    unknown = np.isnan(found["engagement"].value) & np.isnan(found["satisfaction"].value)
    rv_raw[unknown] = rv[unknown] = np.nan
    numbers = [number for column in found.values() for number in _numbers(column)]
    return ScoreColumns(view.at, ri_raw.round(6), ri.round(2), rv_raw.round(6), rv.round(2), np.stack(numbers, axis=1))


def _product(values: Floats, strength: Floats) -> tuple[Floats, Floats]:
    """Raw product and index of factors (shape: factors, rows), NaN where there is none."""
    count = (~np.isnan(values)).sum(axis=0)
    product = np.where(count > 0, np.nanprod(values, axis=0), np.nan)
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
    ri = {name: factors[name] for name in (*RI_FACTORS, "network")}
    rv = {name: factors[name] for name in RV_FACTORS}
    replace = msgspec.structs.replace
    return replace(scores, ri=replace(scores.ri, factors=ri), rv=replace(scores.rv, factors=rv))


def _factor(rule: FactorRule, numbers: Sequence[float | None]) -> Factor:
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
