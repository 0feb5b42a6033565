"""What came of a load, in numbers and in words."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from shared.domain.contract.days import iso
from shared.domain.contract.events import Millis
from shared.load.outgoing import Outgoing, Rejection

FIRST = 10
"""Line numbers that are shown for each reason."""

AGAIN = " (those that were there already among them, which count once)"


class Reason(msgspec.Struct):
    """One reason for rejection: how often, the first lines, and the first one in words."""

    count: int
    lines: list[int]
    detail: str


class Summary(msgspec.Struct):
    """Counts of a load; `read` counts events that were made and rows that could not become one."""

    read: int = 0
    accepted: int = 0
    rejected: int = 0
    relationships: int = 0
    earliest: Millis = 0
    latest: Millis = 0
    reasons: dict[str, Reason] = msgspec.field(default_factory=dict)

    def note(self, event: Outgoing) -> None:
        """Widens the span of time by an event's own."""
        if event.time:
            self.earliest = min(self.earliest or event.time, event.time)
            self.latest = max(self.latest, event.time)

    def reject(self, rejection: Rejection) -> None:
        """Counts a rejection."""
        self.rejected += 1
        reason = self.reasons.setdefault(rejection.reason, Reason(0, [], rejection.detail))
        reason.count += 1
        if len(reason.lines) < FIRST and rejection.line not in reason.lines:
            reason.lines.append(rejection.line)

    def lines(self, seconds: float, again: bool) -> Iterator[str]:
        """The summary in words; `seconds` is how long this run took, `again` whether loading twice changes nothing."""
        rate = self.accepted / seconds if seconds > 0 else 0.0
        yield f"read           {self.read:,}"
        yield f"accepted       {self.accepted:,}{AGAIN if again and self.accepted else ''}"
        yield f"rejected       {self.rejected:,}"
        for name, reason in sorted(self.reasons.items(), key=lambda item: -item[1].count):
            lines = ", ".join(map(str, reason.lines)) + (", …" if reason.count > len(reason.lines) else "")
            yield f"  {reason.count:,} {name} (line {lines}): {reason.detail}"
        yield f"relationships  {self.relationships:,}"
        if self.latest:
            yield f"time span      {iso(self.earliest)} to {iso(self.latest)}"
        yield f"took           {seconds:.1f} s, {rate:,.0f} events/s"
