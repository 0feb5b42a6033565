"""The portfolio: repeatable, of a sensible size, accepted as a whole, and calm but for its incidents."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cache

import numpy as np
import pytest
from msgspec import json

from shared.domain.columns.series import Series
from shared.domain.contract.accepting import Acceptance, accept
from shared.domain.contract.days import day_number, day_of
from shared.domain.contract.declaration import Direction
from shared.domain.contract.events import DAY, MINUTE, Interaction, Millis
from shared.domain.contract.moments import time_millis
from shared.domain.contract.types import event_type
from shared.domain.relationship.facts import Facts
from shared.domain.relationship.fold import fold_touchpoint
from shared.domain.rules.baseline import compare, days_needed
from shared.domain.rules.usage import DropParams
from shared.load.outgoing import Outgoing
from shared.simulator.accounts import CUSTOMER_TO_TRY, PARTNER_TO_TRY, Account, portfolio
from shared.simulator.history import account_history, calm_since, missed
from shared.simulator.live import Live
from shared.simulator.plan import Planned, outgoing
from tests.simulator.silence import silence_due
from tests.simulator.test_incidents import touchpoint

MONDAY_NOON = 1_790_596_800_000  # 2026-09-28T12:00:00Z
SATURDAY = MONDAY_NOON + 5 * DAY - 11 * 3_600_000
AFTER_NEW_YEAR = 1_767_355_200_000 + 7 * MINUTE  # 2026-01-02T12:07:00Z
TEN_MINUTES = 10 * MINUTE


def history(account: Account, live: Millis, days: int = 365) -> list[Planned]:
    return account_history(7, account, (live // DAY - days) * DAY, live, calm_since(live))


@cache
def everything(live: Millis) -> tuple[list[Account], list[list[Planned]]]:
    accounts = portfolio(7, 200, live)
    return accounts, [history(account, live, 90) for account in accounts]


def test_the_same_seed_and_moment_give_the_same_bytes() -> None:
    one, other = (
        [
            outgoing(planned, True)
            for account in portfolio(3, 12, MONDAY_NOON)
            for planned in history(account, MONDAY_NOON)
        ]
        for _ in range(2)
    )
    assert one == other
    assert portfolio(4, 12, MONDAY_NOON) != portfolio(3, 12, MONDAY_NOON)


def test_twelve_months_of_two_hundred_accounts_are_of_a_sensible_size() -> None:
    accounts = portfolio(7, 200, MONDAY_NOON)
    assert len({account.id for account in accounts}) == 200
    kinds = Counter(account.kind for account in accounts)
    assert kinds["customer"] > 140
    assert set(kinds) == {"customer", "partner", "supplier", "investor", "community"}
    by_id = {account.id: account.kind for account in accounts}
    assert (by_id[CUSTOMER_TO_TRY], by_id[PARTNER_TO_TRY]) == ("customer", "partner")
    sample = accounts[::10]
    volume = 10 * sum(len(history(account, MONDAY_NOON)) for account in sample)
    assert 150_000 <= volume <= 250_000


def test_ids_are_unique_and_every_event_is_accepted() -> None:
    terms = Acceptance("demo", MONDAY_NOON, lambda _tenant, subject: subject)
    seen: set[str] = set()
    for account in portfolio(7, 12, MONDAY_NOON):
        for planned in history(account, MONDAY_NOON):
            event = accept(outgoing(planned, True).raw, 0, terms)
            assert isinstance(event, Interaction), event
            assert event.id not in seen
            assert event.time <= MONDAY_NOON
            seen.add(event.id)


@pytest.mark.parametrize("live", [MONDAY_NOON, SATURDAY, AFTER_NEW_YEAR])
def test_nobody_elses_use_drops(live: Millis) -> None:
    accounts, planned = everything(live)
    params = DropParams()
    for account, events in zip(accounts, planned, strict=True):
        counts: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        for one in events:
            if one.type == "usage.daily_total":
                counts[one.data["feature"]][day_number(one.data["day"])] += one.data["quantity"]
        for now in (live, live + TEN_MINUTES):
            days = [day_of(now) - back for back in range(days_needed(params.window_days, params.baseline_weeks))]
            rows = [[by_day.get(day, 0.0) for day in days] for by_day in counts.values()]
            if not rows:
                continue
            rows.append([sum(column) for column in zip(*rows, strict=True)])
            elapsed = np.full(len(rows), (now % DAY) / DAY)
            found = compare(Series.of(np.array(rows)), elapsed, params.window_days, params.baseline_weeks)
            assert np.all(found.seen > 0.87 * found.expected), account.id


@pytest.mark.parametrize("live", [MONDAY_NOON, SATURDAY, AFTER_NEW_YEAR])
def test_nobody_elses_silence_or_promise_is_near(live: Millis) -> None:
    for account, events in zip(*everything(live), strict=True):
        facts = Facts()
        for one in events:
            if not one.type.startswith("usage."):
                facts = fold_touchpoint(facts, touchpoint(one))
        due, _, _ = silence_due(facts, everyday=False)
        assert due > live + TEN_MINUTES, account.id
        for promise in facts.promises.values():
            if not promise.broken_at:
                assert promise.due > live + TEN_MINUTES
        coming = missed(7, [account], live, live + 30 * DAY, calm_since(live), ())
        for one in coming:
            # One that broke before the calm days may still be kept after all; none breaks any more.
            assert one.type != "promise.broken"
            assert one.data.get("instrument") != "nps" or one.data["score"] >= 7
            if one.type == "promise.kept" and one.data["promise"] in facts.promises:
                promise = facts.promises[one.data["promise"]]
                assert promise.broken_at or one.at < promise.due


def live_of(accounts: list[Account], start: Millis) -> Live:
    return Live(7, accounts, start, calm_since(start), frozenset({accounts[1].id}))


@pytest.mark.parametrize("start", [MONDAY_NOON, SATURDAY, MONDAY_NOON + 12 * 3_600_000 - MINUTE])
def test_live_traffic_has_its_rate_and_is_accepted(start: Millis) -> None:
    live = live_of(portfolio(7, 200, start), start)
    events: list[Planned] = []
    for tick in range(0, 4 * MINUTE, 500):
        events += live.between(start + tick, start + tick + 500)
    assert 5 <= len(events) / 240 <= 20
    assert len(events) / 240 == pytest.approx(live.rate(), rel=0.2)
    raws: list[Outgoing] = [outgoing(one, False) for one in events]
    assert len({one.id for one in raws}) == len(raws)
    terms = Acceptance("demo", start + 4 * MINUTE, lambda _tenant, subject: subject)
    for raw in raws:
        event = accept(raw.raw, 0, terms)
        assert isinstance(event, Interaction), event
        assert not event.backfill
        assert start < event.time <= start + 4 * MINUTE


def test_live_traffic_keeps_quiet_accounts_quiet_and_raises_no_event_rule() -> None:
    accounts = portfolio(7, 40, MONDAY_NOON)
    live = live_of(accounts, MONDAY_NOON)
    events = live.between(MONDAY_NOON, MONDAY_NOON + 120 * MINUTE)
    types = Counter(one.type for one in events)
    assert {"usage.feature_used", "usage.login", "message.received", "ticket.opened", "ticket.resolved"} <= set(types)
    for one in events:
        assert one.type not in ("price.change_planned", "promise.broken")
        assert one.data.get("instrument") != "nps" or one.data["score"] >= 7
        if one.account == accounts[1].id:
            assert event_type(one.type).direction is Direction.INBOUND
            assert one.type.startswith("usage.")


def test_live_use_goes_on_where_history_stands() -> None:
    accounts = portfolio(7, 200, MONDAY_NOON)
    big = max(accounts, key=lambda account: sum(cell.daily for cell in account.cells))
    today = sum(
        one.data["quantity"]
        for one in history(big, MONDAY_NOON, 1)
        if one.type == "usage.daily_total" and one.at >= MONDAY_NOON // DAY * DAY
    )
    live = live_of(accounts, MONDAY_NOON)
    events = live.between(MONDAY_NOON, MONDAY_NOON + 120 * MINUTE)
    used = sum(one.type == "usage.feature_used" and one.account == big.id for one in events)
    assert used == pytest.approx(today / 6, rel=0.15)  # half a day against two hours


def test_catching_up_replaces_what_live_counted() -> None:
    account = portfolio(7, 2, MONDAY_NOON)[0]
    found = list(missed(7, [account], MONDAY_NOON - 3 * DAY, MONDAY_NOON, calm_since(MONDAY_NOON), ()))
    totals = {(one.data["feature"], one.data["day"]): "person" in one.data for one in found if "day" in one.data}
    assert len(totals) == 4 * len(account.cells)
    edges = {"2026-09-25", "2026-09-28"}
    assert all(by_person == (day not in edges) for (_, day), by_person in totals.items())
    assert all(time_millis(json.decode(outgoing(one, True).raw)["time"]) <= MONDAY_NOON for one in found)
