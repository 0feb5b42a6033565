"""What a rule is: a function over a view of many relationships that answers which of them it hits, and how hard.

Adding a rule: write a function `(View, Playbook) -> Hits`, decorate it with `@state_rule`, give its words in REASONS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.domain.columns.row import Row
from shared.domain.columns.view import View
from shared.domain.playbooks.model import Playbook
from shared.domain.relationship.flags import Evidence, Rule

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class RuleResult(msgspec.Struct, frozen=True):
    """What a state rule says of a view. The first five have one entry a candidate.

    `position`: the candidate's row in the view; `subject`: what it is about ("" the whole relationship); `fires`: the
    condition is met; `stays`: a flag that stands already stays (hysteresis; firing includes it); `critical`: severity
    CRITICAL rather than WARNING. `numbers` are columns for the reason. `due` (one entry a row of the view, ms, 0 =
    none): the next moment at which the answer can change without an event.
    """

    position: Ints
    subject: Sequence[str]
    fires: Bools
    stays: Bools
    critical: Bools
    numbers: dict[str, Floats]
    due: Ints


Seen = Callable[[View, int, str, dict[str, float]], Evidence]
"""Where it can be seen: the evidence, from the view and the row's position in it, the subject and the numbers."""


class StateRule(msgspec.Struct, frozen=True):
    """A rule evaluated at canonical moments."""

    rule: Rule
    evaluate: Callable[[View, Playbook], RuleResult]
    evidence: Seen


STATE_RULES: dict[Rule, StateRule] = {}

Words = Callable[[Row, str, dict[str, float]], str]
"""The reason in words, from the row, the subject and the numbers."""

REASONS: dict[Rule, Words] = {}


def state_rule(
    rule: Rule, evidence: Seen, words: Words
) -> Callable[[Callable[[View, Playbook], RuleResult]], Callable[[View, Playbook], RuleResult]]:
    """Enter a function into the table of state rules."""

    def enter(evaluate: Callable[[View, Playbook], RuleResult]) -> Callable[[View, Playbook], RuleResult]:
        STATE_RULES[rule] = StateRule(rule, evaluate, evidence)
        REASONS[rule] = words
        return evaluate

    return enter
