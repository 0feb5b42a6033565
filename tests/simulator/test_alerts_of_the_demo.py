"""The whole demo through the engine: three alerts within two minutes of live traffic, and no other in ten."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec import json

from shared.domain.columns.block import Block
from shared.domain.contract.accepting import Acceptance, accept
from shared.domain.contract.events import DAY, HOUR, MINUTE, SECOND, Interaction, Millis
from shared.domain.engine.run import Item, Prefetched, Run, usage_entry
from shared.domain.engine.step import step_many, tick
from shared.domain.engine.terms import Terms
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.flags import FlagChange, Severity
from shared.domain.relationship.state import RelationshipState
from shared.playbooks.loader import builtin_playbook
from shared.simulator.accounts import portfolio
from shared.simulator.history import account_history, beginning, calm_since
from shared.simulator.incidents import IDS, after_live, incident_accounts, incident_history
from shared.simulator.live import Live
from shared.simulator.plan import Planned, outgoing

LOADING = 40 * SECOND
ACCOUNTS, DAYS = 24, 100


class Log:
    """One partition, folded as it is written, with a clock record a second."""

    def __init__(self) -> None:
        self.terms = Terms(builtin_playbook(), grain=MINUTE)
        self.block = Block(feature_days=80)
        self.position = 0

    def append(self, planned: Iterable[Planned], now: Millis, backfill: bool) -> None:
        acceptance = Acceptance("demo", now, lambda _tenant, subject: subject)
        items = [self._item(accept(outgoing(one, backfill).raw, 0, acceptance), now) for one in planned]
        if items:
            step_many(self.block, Run.of(items), Prefetched({}, {}), self.terms, "i", 0)

    def clock(self, now: Millis) -> None:
        self.position += 1
        tick(self.block, list(self.block.rows.values()), now, self.terms, Fence("i", 0, self.position))

    def alerts(self) -> list[tuple[str, FlagChange]]:
        return [
            (row.state.relationship, change)
            for row in self.block.rows.values()
            for change in row.state.changes
            if change.raised and not change.suppressed
        ]

    def _item(self, event: object, now: Millis) -> Item:
        assert isinstance(event, Interaction), event
        self.position += 1
        key = f"demo/{event.relationship}"
        if key not in self.block.rows:
            self.block.add(RelationshipState(id=key, tenant="demo", relationship=event.relationship))
        data = json.decode(event.data)
        return Item(self.position, now, event, data, usage_entry(event, data))


@pytest.mark.parametrize(
    "start",
    [
        1_790_596_800_000,  # a Monday, noon
        1_791_071_940_000,  # a Saturday, a minute before midnight
        1_790_899_200_000 + 17 * HOUR + 23 * SECOND,
    ],
)
def test_three_alerts_in_two_minutes_and_no_other_in_ten(start: Millis) -> None:
    log, live_at = Log(), start + LOADING
    since, calm = (start // DAY - DAYS) * DAY, calm_since(start)
    accounts = portfolio(7, ACCOUNTS, start)
    for account in accounts:
        log.append(account_history(7, account, since, start, calm), start + LOADING // 2, backfill=True)
    incidents = incident_accounts(7, live_at)
    log.append((one for account in incidents for one in beginning(account, since)), live_at, backfill=True)
    log.append(incident_history(7, live_at, since, calm), live_at + SECOND, backfill=True)

    everybody = [*accounts, *map(after_live, incidents)]
    live = Live(7, everybody, start, calm, frozenset({IDS[1]}))
    after = start
    for now in range(live_at + 2 * SECOND, live_at + 10 * MINUTE, SECOND):
        log.append(live.between(after, now), now, backfill=False)
        log.clock(now)
        after = now

    alerts = {(relationship, change.rule): change for relationship, change in log.alerts()}
    assert set(alerts) == {
        (IDS[0], "feature_decline"),
        (IDS[1], "silence"),
        (IDS[2], "expectation_violated"),
    }
    assert len(log.alerts()) == 3
    for change in alerts.values():
        assert live_at < change.moment <= live_at + 2 * MINUTE
    decline = alerts[IDS[0], "feature_decline"]
    assert decline.subject == "api"
    assert "use of api is down 20%" in decline.reason
    assert "(champion) silent for 5 days" in alerts[IDS[1], "silence"].reason
    promise = alerts[IDS[2], "expectation_violated"]
    assert promise.severity is Severity.CRITICAL
    assert "Send the root cause report" in promise.reason
