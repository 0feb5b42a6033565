"""What came of a replay: a line for each flag change and each score, and all of it in a few words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from shared.domain.contract.events import Millis
from shared.domain.contract.moments import rfc3339
from shared.domain.engine.replay import Flagged, Replay, Scored
from shared.domain.relationship.state import Band, Score
from shared.load.arrivals import Arrivals

ENCODER = msgspec.json.Encoder()
BUSIEST = 5  # relationships that are named


def flag_line(found: Flagged) -> dict[str, Any]:
    """A line of --flags."""
    change = found.change
    return {
        "relationship": found.relationship,
        "rule": change.rule,
        "subject": change.subject,
        "severity": change.severity,
        "raised": change.raised,
        "at": rfc3339(change.moment),
        "reason": change.reason,
        "numbers": change.numbers,
    }


def score_line(found: Scored) -> dict[str, Any]:
    """A line of --scores; `health` is the band of Relationship Intelligence."""
    ri, rv = found.scores.ri, found.scores.rv
    return {
        "relationship": found.relationship,
        "at": rfc3339(found.at),
        "ri": ri.index,
        "rv": rv.index,
        "health": ri.band,
        "factors": _factors(ri) | _factors(rv),
    }


def _factors(score: Score) -> dict[str, dict[str, float | None]]:
    return {name: {"value": one.value, "confidence": one.confidence} for name, one in score.factors.items()}


class Tally:
    """Counts what a replay says, and puts it into words; `at` is when it looks at the scores."""

    def __init__(self, at: Iterable[Millis] = ()) -> None:
        self.events = 0  # up to the end
        self._raised: Counter[str] = Counter()  # by rule
        self._cleared: Counter[str] = Counter()
        self._standing: dict[tuple[str, str, str], str] = {}  # relationship, rule and subject → rule
        self._busy: Counter[str] = Counter()  # flags raised, by relationship
        self._health: dict[Millis, Counter[str]] = {moment: Counter() for moment in sorted(set(at))}

    def note(self, found: Flagged | Scored) -> None:
        """Count this."""
        if isinstance(found, Scored):
            self._health[found.at][found.scores.ri.band] += 1
            return
        change = found.change
        key = (found.relationship, change.rule, change.subject)
        if change.raised:
            self._raised[change.rule] += 1
            self._busy[found.relationship] += 1
            self._standing[key] = change.rule
        else:
            self._cleared[change.rule] += 1
            del self._standing[key]

    def lines(self, arrivals: Arrivals, replay: Replay, seconds: float) -> Iterator[str]:
        """The summary; `seconds` is how long all of it took."""
        yield f"events         {self.events:,} of {replay.relationships:,} relationships"
        yield f"time span      {rfc3339(arrivals.first)} to {rfc3339(replay.clock)}"
        if arrivals.accepted > self.events:
            yield f"left out       {arrivals.accepted - self.events:,} after --until"
        yield f"duplicates     {replay.duplicates:,}"
        yield f"rejected       {arrivals.rejected.total():,}"
        for reason, count in arrivals.rejected.most_common():
            yield f"  {count:,} {reason}"
        yield from (f"  {one}" for one in arrivals.first_rejected)
        yield from self._flags()
        for moment, bands in self._health.items():
            words = ", ".join(f"{bands[band]:,} {band}" for band in Band if bands[band])
            yield f"health         at {rfc3339(moment)}: {words or 'no relationship known yet'}"
        yield f"took           {seconds:.1f} s, {self.events / seconds:,.0f} events/s"

    def _flags(self) -> Iterator[str]:
        yield f"flags          {self._raised.total():,} raised, {self._cleared.total():,} cleared"
        standing = Counter(self._standing.values())
        for rule, count in self._raised.most_common():
            yield f"  {rule}: {count:,} raised, {self._cleared[rule]:,} cleared, {standing[rule]:,} stand at the end"
        busiest = sorted(self._busy.items(), key=lambda one: (-one[1], one[0]))[:BUSIEST]
        if busiest:
            yield "most flags     " + ", ".join(f"{name} ({count:,})" for name, count in busiest)
