"""The numbers among a relationship's facts, as columns for scores and rules. NaN means: no evidence."""

from __future__ import annotations

from math import nan

from shared.domain.columns.row import Row
from shared.domain.relationship.state import has_ended

FACT_COLUMNS = (
    "nps",  # 0-10
    "csat",  # 1-5
    "ces",  # 1-7
    "enps",  # 0-10
    "pulse",  # 1-5
    "sentiment",  # mean, -1 to 1
    "sentiment_count",
    "surveys",  # how many instruments were answered
    "kept",
    "broken",
    "payments",
    "overdue",
    "escalations",
    "open_tickets",
    "referrals",
    "outcomes",
    "seats",
    "first_touch",  # ms
    "last_in",  # ms
    "last_out",  # ms
    "first_seen",  # ms
    "usual_gap",  # business days between inbound days: median
    "high_gap",  # their 95th percentile
    "gaps",  # how many there are
    "everyday",  # 1 for a calendar without weekends
    "promises",  # open ones, and those that were broken
    "deadline",  # ms: the first of open promises of ours
    "ended",  # 1 where the relationship is over by its status
)

_INSTRUMENTS = ("nps", "csat", "ces", "enps", "pulse")


def fact_values(row: Row) -> list[float]:
    """The values of FACT_COLUMNS for one relationship."""
    state, gaps = row.state, row.present_cadence()
    facts = state.facts
    surveys = [facts.surveys[name].score if name in facts.surveys else nan for name in _INSTRUMENTS]
    sentiment = facts.sentiment_sum / facts.sentiment_count if facts.sentiment_count else nan
    return [
        *surveys,
        sentiment,
        facts.sentiment_count,
        len(facts.surveys),
        facts.promises_kept,
        facts.promises_broken,
        facts.payments,
        facts.payments_overdue,
        facts.escalations,
        len(facts.tickets),
        facts.referrals,
        facts.outcomes,
        state.directory.seats or nan,
        facts.first_touch or nan,
        facts.last_in or nan,
        facts.last_out or nan,
        state.first_seen or nan,
        gaps.usual,
        gaps.high,
        gaps.gaps,
        state.directory.everyday,
        len(facts.promises),
        min((promise.due for promise in facts.promises.values() if promise.open_of_ours), default=nan),
        has_ended(state),
    ]
