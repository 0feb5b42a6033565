"""How many evaluations there were: relationships times canonical moments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec

from shared.domain.columns.view import View
from shared.domain.playbooks.model import Playbook
from shared.domain.relationship.flags import Rule
from shared.domain.rules.declaration import STATE_RULES, RuleResult

Evaluate = Callable[[View, Playbook], RuleResult]


class Evaluations:
    """Counts what the state rules of this process are asked, for good."""

    def __init__(self) -> None:
        self._asked: Counter[Rule] = Counter()
        for rule, entry in STATE_RULES.items():
            STATE_RULES[rule] = msgspec.structs.replace(entry, evaluate=self._counted(rule, entry.evaluate))

    @property
    def count(self) -> int:
        """As the rule counts that was asked most."""
        return max(self._asked.values(), default=0)

    def begin(self) -> None:
        """Count from here on."""
        self._asked.clear()

    def _counted(self, rule: Rule, evaluate: Evaluate) -> Evaluate:
        def counted(view: View, playbook: Playbook) -> RuleResult:
            self._asked[rule] += len(view)
            return evaluate(view, playbook)

        return counted
