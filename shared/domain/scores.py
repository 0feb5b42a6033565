"""Relationship Intelligence and Relationship Value: factors in [0, 1] from evidence, first versions.

RI = (Quality × Frequency × Trust × Mutual benefit) × Network strength, RV = (Engagement × Satisfaction) × Loyalty.
A factor without evidence is None and left out of the product; the index is the geometric mean of those there are, as
100 × (product)^(1/n), times Network for RI. Every function is vectorised: one entry a row of the view.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.domain.block import INBOUND, OUTBOUND, USAGE, View
from shared.domain.events import DAY
from shared.domain.relationship import Band, Factor, Score, Scores

Floats = NDArray[np.float64]

WEIGHTS_VERSION = "1"
YEAR = 365.0  # days


class Column(msgspec.Struct, frozen=True):
    """One factor of every row: value (NaN = no evidence), confidence, the numbers it came from, and its words."""

    value: Floats
    confidence: Floats
    inputs: dict[str, Floats]
    words: Callable[[dict[str, float]], str]


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


def quality(view: View) -> Column:
    """What they say: surveys and sentiment, less for tickets that stay open."""
    said, evidence = _satisfaction(view)
    tickets = view.fact("open_tickets")
    return Column(
        value=said * np.exp2(-tickets / 10),
        confidence=_confidence(evidence, 3),
        inputs={"said": said, "open_tickets": tickets},
        words=lambda n: f"surveys and sentiment at {n['said']:.0%}, {_some(n['open_tickets'], 'ticket')} open",
    )


def frequency(view: View) -> Column:
    """Two-way touch rate over 30 days against what has been usual since the first touch, up to a year."""
    days = (view.at - view.fact("first_touch")) / DAY
    touches = view.total(INBOUND, 365) + view.total(OUTBOUND, 365)
    recent = touches[:, :30].sum(axis=1)
    usual = touches[:, 30:].sum(axis=1) * 30 / np.maximum(np.minimum(days, YEAR) - 30, 1)
    usual = np.where(days > 60, usual, np.nan)
    last = (view.at - np.fmax(view.fact("last_in"), view.fact("last_out"))) / DAY
    fresh = np.exp2(-np.maximum(last - 30, 0) / 60)  # too new for a usual rate: by the age of the last touch
    value = np.where(np.isnan(usual), fresh, np.minimum(1, (recent + 0.5) / (usual + 0.5)))
    return Column(
        value=np.where(touches.any(axis=1), value, np.nan),  # nothing in a year: nothing to judge by, silence is a rule
        confidence=_confidence(touches.sum(axis=1), 6),
        inputs={"recent": recent, "usual": usual},
        words=lambda n: (
            f"{_some(n['recent'], 'touch', 'touches')} in 30 days"
            + (f", {n['usual']:.1f} are usual" if "usual" in n else ", too new for a usual rate")
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
        inputs={"good": good, "bad": bad, "tenure_days": np.nan_to_num((view.at - view.fact("first_seen")) / DAY)},
        words=lambda n: (
            f"{n['good']:.0f} promises, payments and outcomes kept, {n['bad']:.0f} broken, overdue or escalated"
        ),
    )


def _promises_overdue(view: View) -> Floats:
    """Open promises of ours whose deadline has passed (those that were broken in so many words count as broken)."""
    return np.array(
        [
            sum(
                promise.due <= at and promise.by != "them" and not promise.broken_at
                for promise in row.head.facts.promises.values()
            )
            for row, at in zip(view.rows, view.at, strict=True)
        ],
        np.float64,
    )


def mutual_benefit(view: View) -> Column:
    """Realised value to them (people against seats, use against its usual level) and to us (payments, referrals)."""
    use = view.total(USAGE, 90)
    used = use.any(axis=1)
    depth = np.where(used, np.minimum(1, (use[:, :30].sum(axis=1) + 1) / (use.sum(axis=1) / 3 + 1)), np.nan)
    people = view.people(30).astype(np.float64)
    breadth = np.where(used, np.minimum(1, people / view.fact("seats")), np.nan)
    them = _mean([(depth, 1.0), (breadth, 1.0)])
    gives = view.fact("payments") + view.fact("referrals") * 2
    us = np.where(gives > 0, 1 - np.exp2(-gives / 2), np.nan)
    both = np.where(np.isnan(us), them, np.where(np.isnan(them), us, np.sqrt(them * us)))
    return Column(
        value=both,
        confidence=_confidence(use.astype(bool).sum(axis=1) + gives, 20),
        inputs={"people": people, "seats": view.fact("seats"), "depth": depth, "to_us": us},
        words=lambda n: (
            (
                f"{n['people']:.0f} of {n['seats']:.0f} seats active"
                if "seats" in n
                else f"{n['people']:.0f} people active"
            )
            + (f", use at {n['depth']:.0%} of its level" if "depth" in n else ", no use seen")
            + ("" if "to_us" in n else "; what it is worth to us is not known")
        ),
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
        inputs={"people": people, "needed": needed},
        words=lambda n: f"{_some(n['people'], 'person', 'people')} in touch, {n['needed']:.0f} make it safe",
    )


def engagement(view: View) -> Column:
    """Use and touches of 30 days against the 90 days before."""
    use = view.total(USAGE, 120)
    touches = view.total(INBOUND, 120)
    parts = []
    for counts in (use, touches):
        usual = counts[:, 30:].sum(axis=1) / 3
        now = counts[:, :30].sum(axis=1)
        some = (usual + now) > 0
        parts.append((np.where(some, np.minimum(1, (now + 0.5) / (usual + 0.5)), np.nan), 1.0))
    return Column(
        value=_mean(parts),
        confidence=_confidence((use + touches).astype(bool).sum(axis=1), 20),
        inputs={"use": parts[0][0], "touches": parts[1][0]},
        words=lambda n: ", ".join(f"{name} at {n[name]:.0%} of usual" for name in ("use", "touches") if name in n),
    )


def satisfaction(view: View) -> Column:
    """Surveys and sentiment alone."""
    said, evidence = _satisfaction(view)
    return Column(said, _confidence(evidence, 3), {"said": said}, lambda n: f"surveys and sentiment at {n['said']:.0%}")


def loyalty(view: View) -> Column:
    """Tenure (two years are full) and referrals."""
    tenure = (view.at - view.fact("first_seen")) / DAY
    stays = np.clip(tenure / (2 * YEAR), 0, 1)
    refers = 1 - np.exp2(-view.fact("referrals"))
    return Column(
        value=0.3 + 0.5 * stays + 0.2 * refers,
        confidence=_confidence(np.nan_to_num(tenure), 180),
        inputs={"tenure_days": tenure, "referrals": view.fact("referrals")},
        words=lambda n: f"with us for {_some(n['tenure_days'], 'day')}, {_some(n['referrals'], 'referral')}",
    )


RI_FACTORS = {"quality": quality, "frequency": frequency, "trust": trust, "mutual_benefit": mutual_benefit}
RV_FACTORS = {"engagement": engagement, "satisfaction": satisfaction, "loyalty": loyalty}


def band_of(index: float | None) -> Band:
    """Red 0-50, yellow 51-75, green 76-100, of the index rounded to a whole number (halves up)."""
    if index is None:
        return Band.UNKNOWN
    return Band.RED if index < 50.5 else Band.YELLOW if index < 75.5 else Band.GREEN


def score(view: View) -> list[Scores]:
    """Scores of every row of the view, with their factors and reasons."""
    ri = {name: factor(view) for name, factor in RI_FACTORS.items()}
    rv = {name: factor(view) for name, factor in RV_FACTORS.items()}
    net = network(view)
    strength = np.where(np.isnan(net.value), 1.0, net.value)
    ri_scores = _scores(ri, strength, {"network": net})
    # Loyalty is known of everybody; without engagement or satisfaction it says nothing about the value
    rv_scores = _scores(rv, np.ones(len(view)), {}, needs=("engagement", "satisfaction"))
    return [
        Scores(ri=mine, rv=theirs, at=int(at), weights=WEIGHTS_VERSION)
        for mine, theirs, at in zip(ri_scores, rv_scores, view.at, strict=True)
    ]


def _scores(
    columns: dict[str, Column], strength: Floats, extra: dict[str, Column], needs: tuple[str, ...] = ()
) -> list[Score]:
    values = np.stack([column.value for column in columns.values()])
    count = (~np.isnan(values)).sum(axis=0)
    product = np.nanprod(values, axis=0)
    known = count > 0
    if needs:
        known &= np.any([~np.isnan(columns[name].value) for name in needs], axis=0)
    index = 100 * product ** (1 / np.maximum(count, 1)) * strength
    raw = product * strength
    everything = columns | extra
    shown = [round(float(index[at]), 2) if known[at] else None for at in range(len(strength))]
    return [
        Score(
            raw=round(float(raw[at]), 6) if known[at] else None,
            index=shown[at],
            band=band_of(shown[at]),
            factors={name: _factor(column, at) for name, column in everything.items()},
        )
        for at in range(len(strength))
    ]


def _factor(column: Column, at: int) -> Factor:
    value = float(column.value[at])
    if np.isnan(value):
        return Factor(value=None, confidence=0.0, reason="no evidence yet")
    inputs = {
        name: round(float(numbers[at]), 4) for name, numbers in column.inputs.items() if not np.isnan(numbers[at])
    }
    return Factor(round(value, 4), round(float(column.confidence[at]), 3), column.words(inputs), inputs)
