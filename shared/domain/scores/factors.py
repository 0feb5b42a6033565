"""The factors of Relationship Intelligence and Relationship Value, in [0, 1] from evidence: first versions.

Every function is vectorised: one entry a row of the view. A new factor is declared here, and named in FACTORS.
"""

from __future__ import annotations

import numpy as np

from shared.domain.columns.row import INBOUND, OUTBOUND, USAGE
from shared.domain.columns.view import View
from shared.domain.contract.events import DAY
from shared.domain.scores.declaration import Column, Factor, Floats, Formula, confidence, factor, mean_of, some

YEAR = 365.0  # days


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
    return np.minimum(np.maximum(mean_of(parts), 0), 1), view.fact("surveys") * 2 + view.fact("sentiment_count")


@factor(
    "said",
    "open_tickets",
    of=Formula.RI,
    words=lambda n: f"surveys and sentiment at {n['said']:.0%}, {some(n['open_tickets'], 'ticket')} open",
)
def quality(view: View) -> Column:
    """What they say: surveys and sentiment, less for tickets that stay open."""
    said, evidence = _satisfaction(view)
    tickets = view.fact("open_tickets")
    return Column(
        value=said * np.exp2(-tickets / 10),
        confidence=confidence(evidence, 3),
        inputs=(said, tickets),
    )


@factor(
    "recent",
    "usual",
    of=Formula.RI,
    words=lambda n: (
        f"{some(n['recent'], 'touch', 'touches')} in 30 days"
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
        confidence=confidence(touches, 6),
        inputs=(recent, usual),
    )


@factor(
    "good",
    "bad",
    "tenure_days",
    of=Formula.RI,
    words=lambda n: (
        f"{n['good']:.0f} promises, payments and outcomes kept, {n['bad']:.0f} broken, overdue or escalated"
    ),
)
def trust(view: View) -> Column:
    """Promises kept and payments on time against those broken, overdue and escalated (Beta mean), with tenure."""
    good = view.fact("kept") + view.fact("payments") + view.fact("outcomes")
    bad = view.fact("broken") + view.fact("overdue") + view.fact("escalations") + _promises_overdue(view)
    days = (view.at - view.fact("first_seen")) / DAY
    tenure = np.minimum(np.maximum(days / (2 * YEAR), 0), 1)
    evidence = good + bad
    record = (good + 1) / (evidence + 2)  # uniform prior: Laplace's rule of succession
    value = np.where(evidence > 0, 0.8 * record + 0.2 * tenure, np.nan)
    return Column(
        value=value,
        confidence=confidence(evidence, 5),
        inputs=(good, bad, np.fmax(days, 0)),
    )


def _promises_overdue(view: View) -> Floats:
    """Open promises of ours whose deadline has passed (those that were broken in so many words count as broken)."""
    overdue = np.zeros(len(view))
    for position in np.flatnonzero(view.fact("deadline") <= view.at).tolist():
        at = int(view.at[position])
        overdue[position] = sum(
            promise.due <= at and promise.open_of_ours for promise in view.rows[position].state.facts.promises.values()
        )
    return overdue


@factor(
    "people",
    "seats",
    "depth",
    "to_us",
    of=Formula.RI,
    words=lambda n: (
        (
            f"{n['people']:.0f} of {n['seats']:.0f} seats active"
            if "seats" in n
            else f"{some(n['people'], 'person', 'people')} active"
        )
        + (f", use at {n['depth']:.0%} of its level" if "depth" in n else ", no use seen")
        + ("" if "to_us" in n else "; what it is worth to us is not known")
    ),
)
def mutual_benefit(view: View) -> Column:
    """Realised value to them (people against seats, use against its usual level) and to us (payments, referrals)."""
    use, days = view.window(USAGE, 90), view.series(USAGE).days_with(90)
    used = days > 0
    depth = np.where(used, np.minimum(1, (view.window(USAGE, 30) + 1) / (use / 3 + 1)), np.nan)
    people = view.people(30).astype(np.float64)
    breadth = np.where(used, np.minimum(1, people / view.fact("seats")), np.nan)
    them = mean_of([(depth, 1.0), (breadth, 1.0)])
    gives = view.fact("payments") + view.fact("referrals") * 2
    us = np.where(gives > 0, 1 - np.exp2(-gives / 2), np.nan)
    both = np.where(np.isnan(us), them, np.where(np.isnan(them), us, np.sqrt(them * us)))
    return Column(
        value=both,
        confidence=confidence(days + gives, 20),
        inputs=(people, view.fact("seats"), depth, us),
    )


@factor(
    "people",
    "needed",
    of=Formula.NETWORK,
    title="Network strength",
    words=lambda n: f"{some(n['people'], 'person', 'people')} in touch, {n['needed']:.0f} make it safe",
)
def network(view: View) -> Column:
    """People in touch over 90 days against what its size needs: one, and one more for each doubling of the seats."""
    people = view.people(90).astype(np.float64)
    seats = view.fact("seats")
    needed = np.fmin(np.fmax(np.ceil(np.log2(1 + seats)), 1), 8)  # of unknown size: small
    known = people > 0
    return Column(
        value=np.where(known, np.minimum(np.maximum(people / needed, 0.3), 1), np.nan),
        confidence=confidence(people, 2),
        inputs=(people, needed),
    )


@factor(
    "use",
    "touches",
    of=Formula.RV,
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
        value=mean_of(parts),
        confidence=confidence(view.series(USAGE).days_with_either(view.series(INBOUND), 120), 20),
        inputs=(parts[0][0], parts[1][0]),
    )


@factor("said", of=Formula.RV, words=lambda n: f"surveys and sentiment at {n['said']:.0%}")
def satisfaction(view: View) -> Column:
    """Surveys and sentiment alone."""
    said, evidence = _satisfaction(view)
    return Column(said, confidence(evidence, 3), (said,))


@factor(
    "tenure_days",
    "referrals",
    of=Formula.RV,
    words=lambda n: f"with us for {some(n['tenure_days'], 'day')}, {some(n['referrals'], 'referral')}",
)
def loyalty(view: View) -> Column:
    """Tenure (two years are full) and referrals."""
    tenure = (view.at - view.fact("first_seen")) / DAY
    stays = np.minimum(np.maximum(tenure / (2 * YEAR), 0), 1)
    refers = 1 - np.exp2(-view.fact("referrals"))
    return Column(
        value=0.3 + 0.5 * stays + 0.2 * refers,
        confidence=confidence(tenure, 180),
        inputs=(tenure, view.fact("referrals")),
    )


_ALL: tuple[Factor, ...] = (
    quality,
    frequency,
    trust,
    mutual_benefit,
    network,
    engagement,
    satisfaction,
    loyalty,
)

FACTORS: dict[str, Factor] = {factor.name: factor for factor in _ALL}
"""All factors, in the order in which a state's `numbers` hold them: value, confidence, inputs of each."""


def factors_of(*formulas: Formula) -> dict[str, Factor]:
    """Those of these formulas."""
    return {name: one for name, one in FACTORS.items() if one.of in formulas}
