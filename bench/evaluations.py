"""How many evaluations there were: relationships times canonical moments."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from shared.domain.columns.view import View
from shared.domain.rules.declaration import RuleResult, StateRule, Thresholds
from shared.domain.rules.table import RULES, state_rules


class Evaluations:
    """Counts what the state rules of this process are asked, for good."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()
        for rule in state_rules():
            RULES[rule.name] = msgspec.structs.replace(rule, evaluate=self._counted(rule))

    @property
    def count(self) -> int:
        """As the rule counts that was asked most."""
        return max(self._asked.values(), default=0)

    def begin(self) -> None:
        """Count from here on."""
        self._asked.clear()

    def _counted(self, rule: StateRule) -> Any:
        def counted(view: View, thresholds: Thresholds[Any]) -> RuleResult:
            self._asked[rule.name] += len(view)
            return rule.evaluate(view, thresholds)

        return counted
