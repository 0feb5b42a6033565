"""What a rule is: one declaration with its parameters, what triggers it, its words and its advice.

A *state rule* is a function over the columns of many relationships, run at canonical moments; an *event rule* judges
one touchpoint, at once. How to add one: docs/extending.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import IntFlag, StrEnum
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.domain.columns.row import Row
from shared.domain.columns.view import View
from shared.domain.contract.events import Millis
from shared.domain.relationship.flags import Evidence, Severity
from shared.domain.relationship.state import RelationshipState
from shared.domain.relationship.touchpoints import Touchpoint

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Severities = NDArray[np.int8]

NONE, INFO, WARNING, CRITICAL = range(4)
"""What a severity column holds."""

SEVERITIES: tuple[Severity, ...] = (Severity.INFO, Severity.INFO, Severity.WARNING, Severity.CRITICAL)
"""The severity that each of these stands for; NONE is never asked for."""


class Polarity(StrEnum):
    """Whether a flag warns (red) or is good news to act on (green)."""

    RED = "red"
    GREEN = "green"


class Trigger(IntFlag):
    """What can change a state rule's answer, beside time."""

    USE = 1
    TOUCHPOINT = 2
    DIRECTORY = 4

    ALL = USE | TOUCHPOINT | DIRECTORY


class Params(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of a rule: their types bound them, their descriptions are the documentation."""


P = TypeVar("P", bound=Params)


class Thresholds(Generic[P]):
    """The parameters of a rule for each row of a view: distinct ones, and which of them each row has."""

    def __init__(self, variants: Sequence[P], which: Ints) -> None:
        self.variants = variants
        self._which = which

    def __len__(self) -> int:
        return len(self._which)

    def column(self, name: str) -> Floats:
        """A parameter of each row, as a number."""
        values = np.array([getattr(one, name) for one in self.variants], np.float64)
        column: Floats = np.full(len(self), values[0]) if len(values) == 1 else values[self._which]
        return column

    def groups(self, *names: str) -> Iterator[tuple[P, Ints]]:
        """Rows (their positions) that have the same values of these, with the parameters of one of them."""
        if len(self.variants) == 1:
            yield self.variants[0], np.arange(len(self))
            return
        found: dict[tuple[Any, ...], list[int]] = {}
        for at, one in enumerate(self.variants):
            found.setdefault(tuple(getattr(one, name) for name in names), []).append(at)
        for same in found.values():
            yield self.variants[same[0]], np.flatnonzero(np.isin(self._which, same))


class RuleResult(msgspec.Struct, frozen=True):
    """What a state rule says of a view. All but `due` have one entry a candidate.

    `position`: the candidate's row in the view; `subject`: what it is about ("" the whole relationship); `severity`:
    NONE unless the condition is met; `stays`: a flag that stands already stays (hysteresis; what fires stays, too).
    `numbers` are columns for the reason. `due` (one entry a row of the view, ms, 0 = none): the next moment at which
    the answer can change, or its words do, without an event.
    """

    position: Ints
    subject: Sequence[str]
    severity: Severities
    stays: Bools
    numbers: dict[str, Floats]
    due: Ints


def severities(fires: Bools, critical: Bools) -> Severities:
    """CRITICAL where it fires and is critical, WARNING where it only fires."""
    return np.where(fires, np.where(critical, CRITICAL, WARNING), NONE).astype(np.int8)


def whole_relationships(severity: Ints | Severities, numbers: dict[str, Floats], due: Ints) -> RuleResult:
    """The result of a rule about whole relationships, from columns with one entry a row of the view.

    A flag stays as long as its condition is met.
    """
    position = np.flatnonzero(severity)
    return RuleResult(
        position=position,
        subject=[""] * len(position),
        severity=severity[position].astype(np.int8),
        stays=np.ones(len(position), np.bool_),
        numbers={name: column[position] for name, column in numbers.items()},
        due=due,
    )


class EventVerdict(msgspec.Struct, frozen=True):
    """What an event rule says: raise its flag (until a moment, at the latest), or clear it."""

    subject: str
    raised: bool
    severity: Severity = Severity.WARNING
    reason: str = ""
    numbers: dict[str, float] = {}
    until: Millis = 0


Evaluate = Callable[[View, Thresholds[P]], RuleResult]
Judge = Callable[[Touchpoint, RelationshipState, P], EventVerdict | None]
Words = Callable[[Row, str, dict[str, float]], str]
"""The reason in words, from the row, the subject and the numbers."""
EvidenceOf = Callable[[View, int, str, dict[str, float]], Evidence]
"""Where it can be seen: from the view and the row's position in it, the subject and the numbers."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What every rule declares. `about` is its function's docstring, `title` what pages call it (by default its name);
    the others are its settings unless others are given in a playbook."""

    name: str
    about: str
    title: str = ""
    params: type[Params]
    polarity: Polarity = Polarity.RED
    cooldown_days: float = 0.0
    advice: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.title:
            msgspec.structs.force_setattr(self, "title", self.name.replace("_", " ").capitalize())


class StateRule(Rule, frozen=True, kw_only=True):
    """A rule over columns.

    `ended_by`: events that may end its condition at once (what compares counts of a window is judged at canonical
    moments only: within the hour it goes by the order in which uses arrive). `lookback`: days of counts by feature it
    looks at, from its parameters. `of_today`: of a row and a subject, whether it has nothing to do with history that is
    being loaded.
    """

    evaluate: Callable[[View, Any], RuleResult]
    triggers: Trigger
    words: Words
    evidence: EvidenceOf
    ended_by: Trigger = Trigger(0)
    lookback: Callable[[Any], int] | None = None
    of_today: Callable[[Row, str], bool] | None = None


class EventRule(Rule, frozen=True, kw_only=True):
    """A rule that touchpoints of these types decide."""

    judge: Callable[[Touchpoint, RelationshipState, Any], EventVerdict | None]
    types: tuple[str, ...]


def state_rule(
    params: type[P],
    *,
    triggers: Trigger,
    words: Words,
    evidence: EvidenceOf,
    **declared: Any,
) -> Callable[[Evaluate[P]], StateRule]:
    """Make a state rule of a function, which gives it its name and says what it is about."""

    def declare(evaluate: Evaluate[P]) -> StateRule:
        return StateRule(
            **_named(evaluate),
            params=params,
            evaluate=evaluate,
            triggers=triggers,
            words=words,
            evidence=evidence,
            **declared,
        )

    return declare


def event_rule(params: type[P], *, types: tuple[str, ...], **declared: Any) -> Callable[[Judge[P]], EventRule]:
    """Make an event rule of a function, which gives it its name and says what it is about."""

    def declare(judge: Judge[P]) -> EventRule:
        return EventRule(**_named(judge), params=params, judge=judge, types=types, **declared)

    return declare


def _named(function: Callable[..., Any]) -> dict[str, Any]:
    return {"name": function.__name__, "about": " ".join((function.__doc__ or "").split())}
