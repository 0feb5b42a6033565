"""Canonical evaluation: scores and state rules of some rows at their due moments, and what that changes.

Only what was triggered, is due, or has not been said under the present playbook is computed. Between canonical moments
an event may end what a flag stands for: then it is cleared at once, and nothing else happens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from shared.domain.columns.block import Block
from shared.domain.columns.columns import NOW
from shared.domain.columns.row import Row
from shared.domain.columns.view import View
from shared.domain.contract.days import day_of
from shared.domain.contract.events import DAY, Millis
from shared.domain.engine.changes import Raised, clear_flag, is_worse, raise_flag, taken_away
from shared.domain.engine.hits import Found, Hit, hits_of, note_hits
from shared.domain.engine.terms import Terms
from shared.domain.playbooks.resolver import Variants
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.flags import StandingFlag, Why, flag_key
from shared.domain.relationship.state import RelationshipState, has_ended
from shared.domain.rules.declaration import SEVERITIES, Bools, Ints, StateRule, Trigger
from shared.domain.rules.table import RULES, ended_by, state_rules
from shared.domain.scores.formulas import score_columns

_NEVER = np.iinfo(np.int64).max

SCORES = "scores"  # what is due beside the rules
SCORE_DAYS_KEPT = 32  # days of recorded scores a state carries until its months have them
ACTIVE_DAYS = 400  # a relationship silent for longer is scored only when something comes in


def evaluate(block: Block, rows: Sequence[Row], terms: Terms, places: Sequence[Fence]) -> None:
    """Evaluate each row at its own due moment (suppressed at the end of loaded history, where that is still to come).

    `places`: for each row, the record that made it due.
    """
    evaluation = _Evaluation(block, rows, terms)
    evaluation.run_rules()
    evaluation.settle(places)
    evaluation.score()
    evaluation.plan()


def warm_up(terms: Terms) -> None:
    """Compile what evaluation needs, or take it from where it is kept: seconds the first time, half a second later."""
    block = terms.block(1)
    row = block.add(RelationshipState(id="-/-", tenant="-", relationship="-"))
    evaluate(block, [row], terms, [Fence("-", 0, 0)])


class _Evaluation:
    def __init__(self, block: Block, rows: Sequence[Row], terms: Terms) -> None:
        self.block = block
        self.rows = rows
        states = [row.state for row in rows]
        self.view = block.view(rows, [_moment(state) for state in states])
        self.variants = terms.resolver.of_rows(rows)
        self.judged_by = self.variants.fingerprints()
        self.ended = self.view.fact("ended") > 0
        others = [state.judged_by != mine for state, mine in zip(states, self.judged_by, strict=True)]
        self.anew = np.array(others, np.bool_)
        self.triggered = np.array([state.triggered for state in states], np.int64)
        self.due: dict[str, Ints] = {}
        self.ran: dict[str, Bools] = {}
        self.found: Found = {}
        self._parts: dict[bytes, View] = {}  # of the view, by the positions of their rows

    def run_rules(self) -> None:
        """Run each rule on the rows that it has something new to say of."""
        for rule in state_rules():
            enabled = self.variants.enabled(rule.name) & ~self.ended
            triggers = rule.triggers | Trigger.DIRECTORY  # by which thresholds are resolved
            positions = self._wanting(rule.name, (self.triggered & triggers) > 0, enabled)
            if len(positions):
                view = self._part(positions)
                result = rule.evaluate(view, self.variants.thresholds(rule.name, positions))
                self.due[rule.name][positions] = result.due
                note_hits(self.found, rule, view, positions, result)

    def _wanting(self, name: str, triggered: Bools, enabled: Bools | None = None) -> Ints:
        """The rows for which this is triggered, due, or has never been run."""
        known = self.block.columns.due_column(name)[self.view.index]
        wanted = self.anew | triggered | ((known > 0) & (known <= self.view.at))
        if enabled is not None:
            wanted &= enabled
            known[~enabled] = 0
        self.due[name], self.ran[name] = known, wanted
        return np.flatnonzero(wanted)

    def _part(self, positions: Ints) -> View:
        """A view of the rows there: the same one for all that look at the same rows, for what it has gathered."""
        known = positions.tobytes()
        if known not in self._parts:
            self._parts[known] = self.view.take(positions)
        return self._parts[known]

    def settle(self, places: Sequence[Fence]) -> None:
        """Compare what was found with what stands: clear, keep, raise."""
        for position, row in enumerate(self.rows):
            found = self.found.get(position, {})
            if not found and not row.state.flags:
                continue
            at, place = int(self.view.at[position]), places[position]
            suppressed = row.state.suppressed_until >= at
            for key, why in self._over(position, found, at).items():
                clear_flag(row, key, at, place, why, suppressed=suppressed)
            for key, hit in found.items():
                again = self._raise_or_keep(position, key, hit, at, place)
                if again:
                    self._look_again(hit.rule.name, position, again)

    def _over(self, position: int, found: dict[str, Hit], at: Millis) -> dict[str, Why]:
        """The flags that stand no longer, by key. Those of rules that are not known (any more) are left alone."""
        over: dict[str, Why] = {}
        for key, flag in self.rows[position].state.flags.items():
            why = self._why_over(position, flag, at, found=key in found) if flag.rule in RULES else None
            if why is not None:
                over[key] = why
        return over

    def _why_over(self, position: int, flag: StandingFlag, at: Millis, *, found: bool) -> Why | None:
        """Why a flag stands no longer; None where it does. `found`: by its rule, if that has been run."""
        if self.ended[position]:
            return Why.OVER
        if flag.until and at >= flag.until:
            return Why.ENDED
        if not self.variants.of(position)[flag.rule].enabled:
            return Why.RULE_OFF
        if flag.until or found or not self.ran[flag.rule][position]:
            return None
        return Why.SETTINGS if self._judged_otherwise(position, flag.rule) else Why.ENDED

    def _judged_otherwise(self, position: int, rule: str) -> bool:
        """Whether the row's last evaluation went by other settings of this rule."""
        before = self.rows[position].state.judged_by
        return bool(self.anew[position]) and self.variants.of(position).differ(rule, before)

    def _raise_or_keep(self, position: int, key: str, hit: Hit, at: Millis, place: Fence) -> Millis:
        """Raise what fires; of what stands, the words and numbers are kept fresh.

        When to look again, if its cooldown keeps it from being raised, else 0.
        """
        row, standing = self.rows[position], self.rows[position].state.flags.get(key)
        if standing is None and not hit.fires:
            return 0
        mine = self.variants.of(position)[hit.rule.name]
        severity = mine.severity or SEVERITIES[hit.fires]
        if standing is not None and not (hit.fires and is_worse(severity, standing.severity)):
            hit.keep(row, key, place)
            return 0
        flag = hit.raised(row, severity)
        flag = replace(flag, suppressed=self._of_history(position, hit, flag, at))
        return raise_flag(row, flag, at, place, round(mine.cooldown_days * DAY))

    def _of_history(self, position: int, hit: Hit, flag: Raised, at: Millis) -> bool:
        """Whether nobody is to be alerted of a flag, because loaded history says it, or would have said it."""
        row, rule = self.rows[position], hit.rule
        stood = row.state.flags.get(flag.key) or taken_away(row, flag)
        if stood is not None and not is_worse(flag.severity, stood.severity):
            return stood.suppressed
        if rule.of_today is not None and rule.of_today(row, hit.subject):
            return False
        if row.state.suppressed_until >= at:
            return True
        alerted = stood is not None and not stood.suppressed
        return not alerted and self._judged_otherwise(position, rule.name) and self._found_in_history(position, hit)

    def _found_in_history(self, position: int, hit: Hit) -> bool:
        """Whether the rule, with its settings of today, says as much of the moment up to which history was loaded.

        If it goes by daily counts, of the last day that had ended by then: the other may have had more since. Where the
        series do not reach back that far, most of what it goes by has come since.
        """
        row, rule, then = self.rows[position], hit.rule, self.rows[position].state.suppressed_until
        if not then:
            return False
        if rule.lookback is not None:
            then = day_of(then) * DAY - 1
            days = rule.lookback(self.variants.of(position)[rule.name].params)
            if not self.block.reaches(row, day_of(then), days):
                return False
        thresholds = self.variants.thresholds(rule.name, np.array([position]))
        found = hits_of(rule, self.block.view([row], [then]), thresholds).get(flag_key(rule.name, hit.subject))
        return found is not None and found.fires >= hit.fires

    def _look_again(self, rule: str, position: int, at: Millis) -> None:
        due = self.due[rule]
        due[position] = min(due[position] or at, at)

    def score(self) -> None:
        """Score and record the rows about which there is something new, and those for which a day has passed."""
        positions = self._wanting(SCORES, self.triggered > 0)
        if not len(positions):
            return
        view = self._part(positions)
        states = [row.state for row in view.rows]
        last = np.array([state.last_seen for state in states], np.int64)
        flagged = np.array([bool(state.flags) for state in states], np.bool_)  # its rules may change
        active = flagged | (view.at - last < ACTIVE_DAYS * DAY)
        self.due[SCORES][positions] = np.where(active, view.next_day(), 0)
        scores = score_columns(view)
        for row, at, (ri, rv) in zip(view.rows, view.at.tolist(), scores.indices(), strict=True):
            _record(row, at, ri, rv)

    def plan(self) -> None:
        """Note when each row is to be evaluated next, and for what."""
        columns, index = self.block.columns, self.view.index
        first = np.full(len(self.rows), _NEVER)
        for name, due in self.due.items():
            columns.due_column(name)[index] = np.where(self.ended, NOW, due)
            np.minimum(first, due, out=first, where=due > 0)
        first = np.where(self.ended | (first == _NEVER), 0, first)
        columns.due[index] = first
        for position, (row, at, due) in enumerate(zip(self.rows, self.view.at.tolist(), first.tolist(), strict=True)):
            state = row.state
            state.triggered = 0
            state.judged_by = "" if self.ended[position] else self.judged_by[position]
            state.evaluated_at = at
            state.clock = max(state.clock, at)
            state.next_due_at = due
            row.changed = True
            if state.flags:
                self.block.schedule(row, _with_expiries(row, due))


def clear_at_once(block: Block, row: Row, terms: Terms, place: Fence, trigger: int, why: Why) -> None:
    """An event of this kind has just been folded into a row: clear the flags whose condition it has ended."""
    at, over = row.state.clock, has_ended(row.state)
    view = block.view([row], [at])
    variants = terms.resolver.of_rows([row])
    standing: dict[str, list[str]] = {}
    for key, flag in row.state.flags.items():
        if flag.rule in RULES:
            standing.setdefault(flag.rule, []).append(key)
    for name, keys in standing.items():
        ended = keys if over else _ended(view, variants, name, keys, trigger)
        # Under other settings than it was last judged by it may be these that have ended it, and not the event
        cleared = Why.SETTINGS if variants.of(0).differ(name, row.state.judged_by) else why
        for key in ended:
            suppressed = row.state.suppressed_until >= at
            clear_flag(row, key, at, place, Why.OVER if over else cleared, suppressed=suppressed)


def _ended(view: View, variants: Variants, name: str, keys: Sequence[str], trigger: int) -> list[str]:
    rule = RULES[name]
    if not isinstance(rule, StateRule) or not rule.ended_by & trigger:
        return []
    found = hits_of(rule, view, variants.thresholds(name, np.zeros(1, np.int64)))
    return [key for key in keys if key not in found]


def watched(row: Row) -> int:
    """The triggers of events that may end what a standing flag of the row stands for."""
    flags, mask = row.watched
    if flags is not row.state.flags:
        flags, mask = row.state.flags, int(Trigger.DIRECTORY) if row.state.flags else 0  # its end clears them all
        for flag in flags.values():
            mask |= int(ended_by(flag.rule))
        row.watched = flags, mask
    return mask


def next_boundary(at: Millis, grain: Millis, phase: Millis) -> Millis:
    """The first moment after `at` that lies `phase` into a grain (hour)."""
    shift = phase % grain
    return ((at - shift) // grain + 1) * grain + shift


def _moment(state: RelationshipState) -> Millis:
    return state.suppressed_until if state.suppressed_until > state.evaluated_at else state.next_due_at


def _with_expiries(row: Row, due: Millis) -> Millis:
    """The earlier of a due moment and when flags of known rules end by themselves; 0 = never."""
    ends = [flag.until for flag in row.state.flags.values() if flag.until and flag.rule in RULES]
    return min([*ends, due] if due else ends, default=0)


def _record(row: Row, at: Millis, ri: float | None, rv: float | None) -> None:
    """Record the day's scores, as of its latest canonical evaluation, where they stay and where they are at hand."""
    day = day_of(at)
    row.record_scores(day, (ri, rv))
    days = row.state.score_days.copy()
    days[str(day)] = ri, rv
    while len(days) > SCORE_DAYS_KEPT:
        del days[next(iter(days))]
    row.state.score_days = days
