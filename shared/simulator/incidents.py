"""The three incidents: what their history must be, so that each becomes due shortly after the live traffic begins.

Pure functions of that moment. What they rest on is how the rules are defined: use over the last 7 × 24 hours against
the same weekdays of the 8 weeks before (warning below 80 %), silence after 5 days for somebody who writes every other
day, a promise at its deadline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from shared.domain.contract.days import Day, day_of, iso
from shared.domain.contract.events import DAY, HOUR, SECOND, Millis
from shared.simulator.accounts import Account, Cell, make_account
from shared.simulator.plan import Planned
from shared.simulator.touches import between_moments
from shared.simulator.usage import daily_total, planned_uses, usage_history, weekday

COLLAPSE = "Halden Logistics"
SILENCE = "Brightwater Hotels"
PROMISE = "Corvid Analytics"
IDS = tuple(name.lower().replace(" ", "-") for name in (COLLAPSE, SILENCE, PROMISE))

COLLAPSES_AFTER = 30 * SECOND  # seen falls below the threshold; the next full minute says so
PROMISE_DUE_AFTER = 50 * SECOND
SILENT_AFTER = 75 * SECOND

THRESHOLD = 0.8  # of what is usual
WINDOW, WEEKS = 7, 8
SILENCE_DAYS = 5  # the least limit of a silence, which rules as long as 1.5 times the gap is less
STEADY_SINCE = 8  # days before live in which the other features are used somewhat more: so it is the one that fell


def incident_accounts(seed: int, live: Millis) -> tuple[Account, Account, Account]:
    """The accounts of collapse, silence and promise, when live traffic begins at `live`."""
    collapse, silence, promise = (make_account(seed, name, "customer", live) for name in (COLLAPSE, SILENCE, PROMISE))
    cells = (Cell("api", 12_000.0), Cell("workflows", 8_000.0), Cell("reports", 4_000.0))
    steady = {"noise": 0.0, "drift": 0.0, "lift_from": day_of(live) - STEADY_SINCE, "lift": 1.06}
    return (
        msgspec.structs.replace(collapse, cells=cells, weekend=0.8, mood=0.5, **steady),
        msgspec.structs.replace(silence, mood=0.6, custom={"calendar": "everyday"}, weekend=0.9),
        msgspec.structs.replace(promise, mood=0.4),
    )


def after_live(account: Account) -> Account:
    """What the account still uses once its incident has begun: everything but the feature that collapsed."""
    return msgspec.structs.replace(account, cells=account.cells[1:]) if account.id == IDS[0] else account


def incident_history(seed: int, live: Millis, since: Millis, calm_since: Day) -> Iterator[Planned]:
    """The history of all three from `since` to `live`, each in order of time by account."""
    collapse, silence, promise = incident_accounts(seed, live)
    yield from _by_time(
        [
            *_collapsed(seed, collapse, live, since, calm_since),
            *usage_history(seed, after_live(collapse), since, live, calm_since),
            *between_moments(seed, collapse, since, live, calm_since),
        ]
    )
    yield from _by_time(
        [
            *usage_history(seed, silence, since, live, calm_since),
            *_conversation(silence, last=live + SILENT_AFTER - SILENCE_DAYS * DAY, since=since),
        ]
    )
    yield from _by_time(
        [
            *usage_history(seed, promise, since, live, calm_since),
            *between_moments(seed, promise, since, live, calm_since),
            _promised(promise, live),
        ]
    )


def _by_time(planned: list[Planned]) -> list[Planned]:
    return sorted(planned, key=lambda one: one.at)


def collapsed_counts(usual: Mapping[Day, int], crossing: Millis) -> dict[Day, int]:
    """Daily counts that fall below the threshold at `crossing`, or within the seconds that one use takes to leave.

    `usual` holds what would have been used on each of the 63 days up to the crossing's own. Nothing is used on that
    day. What is missing beyond that is taken from the days before it, the latest first.
    """
    today = day_of(crossing)
    elapsed = (crossing - today * DAY) / DAY
    baseline = [today - WINDOW - 1 - k for k in range(7 * WEEKS)]
    expected = sum(usual[day] for day in baseline) / WEEKS
    leaving = (1 - elapsed) * usual[today - WINDOW]
    whole = range(today - 1, today - WINDOW, -1)
    to_lose = int(sum(usual[day] for day in whole) + leaving - THRESHOLD * expected)
    counts = {**usual, today: 0}
    for day in whole:
        lost = max(0, min(counts[day], to_lose))
        counts[day] -= lost
        to_lose -= lost
    return counts


def _collapsed(seed: int, account: Account, live: Millis, since: Millis, calm_since: Day) -> Iterator[Planned]:
    crossing = live + COLLAPSES_AFTER
    main, first = account.cells[0], day_of(since)
    plain = msgspec.structs.replace(account, lift=1.0)
    days = range(min(first, day_of(crossing) - WINDOW - 7 * WEEKS), day_of(crossing) + 1)
    usual = {day: planned_uses(seed, plain, main, day, calm_since) for day in days}
    counts = collapsed_counts(usual, crossing)
    for day in range(first, day_of(live) + 1):
        # The day's total is final: what is missing on a day is missing for good.
        yield from daily_total(seed, account, main, day, counts[day], max(live, day * DAY + DAY))


def _conversation(account: Account, last: Millis, since: Millis) -> Iterator[Planned]:
    """Every two or three days a message from the champion, answered within hours, up to `last`."""
    champion = account.contacts[0].mail
    yield Planned(since, account.id, "person.joined", "champion", {"person": champion, "role": "champion"})
    number, at = 0, last
    while at > since:
        data = {"channel": "mail", "thread": f"{account.id}-{number}", "person": champion}
        said = {**data, "text": "Here are this week's occupancy figures.", "sentiment": 0.5}
        yield Planned(at, account.id, "message.received", f"in/{at}", said)
        yield Planned(at + 3 * HOUR, account.id, "message.sent", f"out/{at}", {**data, "peer": account.owner})
        number += 1
        at -= (2 + weekday(day_of(at)) % 2) * DAY


def _promised(account: Account, live: Millis) -> Planned:
    """Made less than a day before its deadline, so it does not warn beforehand."""
    due = live + PROMISE_DUE_AFTER
    data = {"promise": "root-cause-report", "by": "us", "due": iso(due), "text": "Send the root cause report"}
    return Planned(live - 20 * HOUR, account.id, "promise.made", "promise/root-cause-report", data)
