"""What state rules say, flag by flag."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from shared.domain.columns.row import Row
from shared.domain.columns.view import View
from shared.domain.engine.changes import Raised, keep_fresh
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.flags import Evidence, Severity, flag_key
from shared.domain.rules.declaration import Ints, RuleResult, StateRule, Thresholds


class Hit(NamedTuple):
    """An entry of a rule's result: its flag may stand."""

    rule: StateRule
    view: View
    result: RuleResult
    entry: int
    subject: str
    numbers: dict[str, float]

    @property
    def fires(self) -> int:
        """How bad it is (declaration.NONE to CRITICAL) by the rule's own word; NONE where it may only stay."""
        return int(self.result.severity[self.entry])

    def raised(self, row: Row, severity: Severity) -> Raised:
        """Its flag as it is to stand."""
        return Raised(
            rule=self.rule.name,
            subject=self.subject,
            severity=severity,
            reason=self._reason(row),
            numbers=self.numbers,
            evidence=self._evidence(),
        )

    def keep(self, row: Row, key: str, place: Fence) -> None:
        """Its flag stands: words and numbers are kept fresh."""
        reason = self._reason(row)
        if reason != row.state.flags[key].reason:
            keep_fresh(row, key, reason, self.numbers, self._evidence(), place)

    def _reason(self, row: Row) -> str:
        return self.rule.words(row, self.subject, self.numbers)

    def _evidence(self) -> Evidence:
        return self.rule.evidence(self.view, int(self.result.position[self.entry]), self.subject, self.numbers)


Found = dict[int, dict[str, Hit]]
"""By the row's position and the flag's key."""


def note_hits(found: Found, rule: StateRule, view: View, positions: Ints, result: RuleResult) -> None:
    """Note what a rule says of a view. `positions`: where the rows of the view are among all of them."""
    entries = np.flatnonzero(result.stays)
    if not len(entries):
        return
    names = list(result.numbers)
    columns = [[round(number, 4) for number in column[entries].tolist()] for column in result.numbers.values()]
    at = zip(entries.tolist(), positions[result.position[entries]].tolist(), *columns, strict=True)
    for entry, position, *numbers in at:
        subject = result.subject[entry]
        hit = Hit(rule, view, result, entry, subject, dict(zip(names, numbers, strict=True)))
        found.setdefault(position, {})[flag_key(rule.name, subject)] = hit


def hits_of(rule: StateRule, view: View, thresholds: Thresholds[Any]) -> dict[str, Hit]:
    """What a rule says of a view of one row, by the flag's key."""
    found: Found = {}
    note_hits(found, rule, view, np.zeros(1, np.int64), rule.evaluate(view, thresholds))
    return found.get(0, {})
