"""How much an account uses on a day: weekdays, slow drift, a little noise, dips on holidays."""

from __future__ import annotations

from collections.abc import Iterator

from shared.domain.contract.days import Day, day_name, day_of
from shared.domain.contract.events import DAY, MINUTE, Millis
from shared.simulator.accounts import Account, Cell
from shared.simulator.chance import between, chance, pick
from shared.simulator.plan import Planned

HOLIDAYS = {"12-24": 0.5, "12-25": 0.25, "12-26": 0.3, "12-31": 0.5, "01-01": 0.25, "05-01": 0.5, "08-15": 0.7}
DRIFT_DAYS = 730  # one rise and fall: at most 0.1 % a day, so that no drift looks like a drop


def weekday(day: Day) -> int:
    """0 = Monday … 6 = Sunday."""
    return (day + 3) % 7


def planned_uses(seed: int, account: Account, cell: Cell, day: Day, calm_since: Day) -> int:
    """Uses of a feature on a whole UTC day. From `calm_since` on holidays are working days.

    So the last two weeks before the live traffic hold no dip: else a demo at New Year would be about the holidays.
    """
    phase = chance(seed, account.id, "phase")
    turn = (day / DRIFT_DAYS + phase) % 1
    level = 1 + account.drift * (4 * abs(turn - 0.5) - 1)
    week = account.weekend if weekday(day) >= 5 else 1.0
    dip = 1.0 if day >= calm_since else HOLIDAYS.get(day_name(day)[5:], 1.0)
    lift = account.lift if day >= account.lift_from else 1.0
    stray = between(1 - account.noise, 1 + account.noise, seed, account.id, cell.feature, day) if account.noise else 1.0
    return round(cell.daily * level * week * dip * lift * stray)


def usage_history(seed: int, account: Account, since: Millis, until: Millis, calm_since: Day) -> Iterator[Planned]:
    """A `usage.daily_total` for each feature and day; today's in proportion to how much of it has passed."""
    for day in range(day_of(since), day_of(until) + 1):
        for cell in account.cells:
            uses = planned_uses(seed, account, cell, day, calm_since)
            yield from daily_total(seed, account, cell, day, uses, until)


def daily_total(
    seed: int, account: Account, cell: Cell, day: Day, uses: int, until: Millis, by_person: bool = True
) -> Iterator[Planned]:
    """The day's total as far as it had come by `until`; by the person whose turn it was, or replacing everybody's."""
    passed = min(1.0, (until - day * DAY) / DAY)
    quantity = round(uses * passed)
    if quantity <= 0:
        return
    data = {"day": day_name(day), "feature": cell.feature, "quantity": quantity}
    if by_person:
        data["person"] = pick(account.contacts, seed, account.id, cell.feature, day, "who").mail
    at = min(day * DAY + DAY - MINUTE, until)
    key = f"use/{data['day']}/{cell.feature}/{data.get('person', '')}/{quantity}"
    yield Planned(at, account.id, "usage.daily_total", key, data)
