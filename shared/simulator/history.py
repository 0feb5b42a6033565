"""Twelve months of history, and what was missed while the simulator was stopped."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from shared.domain.contract.days import Day, day_of
from shared.domain.contract.events import DAY, Millis
from shared.simulator.accounts import Account
from shared.simulator.plan import Planned
from shared.simulator.touches import between_moments
from shared.simulator.usage import daily_total, planned_uses, usage_history

CALM_DAYS = 14  # before live traffic: no holidays, no promise that breaks, no detractor


def calm_since(live: Millis) -> Day:
    """The first of the calm days."""
    return day_of(live) - CALM_DAYS


def beginning(account: Account, since: Millis) -> Iterator[Planned]:
    """What was known of an account before its history begins: the contract, the directory, the people."""
    yield Planned(account.since, account.id, "relationship.updated", f"directory/{account.since}", account.directory())
    if account.kind in ("customer", "partner", "supplier"):
        data = {"seats": account.seats, "renewal_date": account.renewal}
        yield Planned(account.since, account.id, "contract.signed", f"contract/{account.since}", data)
    for contact in account.contacts[:2]:
        who = {"person": contact.mail, "role": contact.role, "text": contact.name}
        yield Planned(since, account.id, "person.joined", f"joined/{contact.mail}", who)


def account_history(seed: int, account: Account, since: Millis, until: Millis, calm: Day) -> list[Planned]:
    """One account's history from `since` to `until`, in order of time."""
    planned = [
        *beginning(account, since),
        *usage_history(seed, account, since, until, calm),
        *between_moments(seed, account, since, until, calm),
    ]
    return sorted(planned, key=lambda one: one.at)


def missed(
    seed: int, accounts: Sequence[Account], stopped: Millis, now: Millis, calm: Day, quiet: Container[str]
) -> Iterator[Planned]:
    """What would have happened between `stopped` and `now`: touches (not of the `quiet`) and days' totals of use.

    The totals of the days on which live traffic was counted replace what was counted.
    """
    for account in accounts:
        if account.id not in quiet:
            yield from between_moments(seed, account, stopped, now, calm)
        for day in range(day_of(stopped), day_of(now) + 1):
            by_person = day_of(stopped) < day < day_of(now)
            for cell in account.cells:
                uses = planned_uses(seed, account, cell, day, calm)
                yield from daily_total(seed, account, cell, day, uses, min(now, (day + 1) * DAY), by_person)
