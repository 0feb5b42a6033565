"""What the engine goes by."""

from __future__ import annotations

from collections.abc import Callable

from xxhash import xxh3_64_intdigest

from shared.domain.columns.block import Block
from shared.domain.contract.events import HOUR, SECOND, Millis
from shared.domain.playbooks.model import Playbook
from shared.domain.playbooks.resolver import Resolver, laid_over
from shared.domain.rules.table import state_rules

SLACK_DAYS = 4  # series reach this much further than rules look: events come early, evaluations late


def staggered(id: str) -> Millis:
    """How far into the hour a relationship's canonical moments lie: a second of it that its id decides.

    All at the full hour would have to be evaluated at once; so they come one by one.
    """
    return xxh3_64_intdigest(id.encode()) % (HOUR // SECOND) * SECOND


class Terms:
    """The playbook, the canonical grain, the days within which an event id counts once, and the phases of rows."""

    def __init__(
        self,
        playbook: Playbook,
        grain: Millis = HOUR,
        dedup_days: int = 7,
        phase: Callable[[str], Millis] = staggered,
    ) -> None:
        self.playbook = playbook
        self.grain = grain
        self.dedup_days = dedup_days
        self.phase = phase
        self.resolver = Resolver(playbook)
        self.feature_days = _lookback(playbook) + SLACK_DAYS

    def block(self, capacity: int = 64) -> Block:
        """An empty block whose series reach as far back as the rules look."""
        return Block(self.feature_days, self.dedup_days, capacity, self.phase)


def _lookback(playbook: Playbook) -> int:
    """Days of counts by feature that the rules look at, whatever the relationship."""
    days = [1]
    for rule in state_rules():
        if rule.lookback is not None:
            settings = playbook.rules[rule.name]
            variants = [settings, *(laid_over(settings, override) for override in settings.overrides)]
            days += [rule.lookback(one.params) for one in variants]
    return max(days)
