"""What the accounts of the month go through: a table of habits, some of which each account has."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import msgspec

from shared.domain.contract.days import day_name, day_of, iso
from shared.domain.contract.events import DAY, HOUR, MINUTE, Interaction
from tests.scoring.month import END, MONTH, Account

Habit = Callable[[Account], None]


def story(seed: int, accounts: int) -> list[Interaction]:
    """All events, in the order of their times."""
    lives = [lived(Account(seed, number)) for number in range(accounts)]
    return sorted(chain.from_iterable(lives), key=lambda one: one.time)


def lived(account: Account) -> list[Interaction]:
    """Everything of one account."""
    known(account)
    for habit, share in HABITS.items():
        if account.often(share):
            habit(account)
    account.said.sort(key=lambda one: one.time)
    corrected(account)
    repeated(account)
    return account.said


def known(account: Account) -> None:
    """What is said of it at first."""
    chance, kinds = account.chance, ("customer", "customer", "partner", "supplier", "investor", "employee", "community")
    account.say(
        account.since,
        "relationship.updated",
        name=f"Account {account.id}",
        kind=chance.choice(kinds),
        type=chance.choice(("", "", "BFF", "partner")),
        segment=chance.choice(("small", "large")),
        tier=chance.choice(("gold", "", "")),
        seats=chance.choice((1, 5, 20, 400)),
        custom=chance.choice(({}, {"calendar": "everyday", "a.b": 1})),
    )


# --- use ------------------------------------------------------------------------------------------------------------


def used(account: Account) -> None:
    """Totals of days before the month, uses in it; all features fall, or one, or none."""
    chance = account.chance
    fallen = chance.choice((account.features, account.features[:1], []))
    begins, ends = account.day(1, 15), account.day(16, 34)
    left = chance.choice((0.8, 0.79, 0.6, 0.3, 0.0))
    for feature in account.features:
        level, weekend = chance.choice((5, 10, 20)), chance.choice((1.0, 0.2))
        for day in range(day_of(account.since) - day_of(MONTH), 30):
            level_now = level * (left if feature in fallen and begins <= day < ends else 1.0)
            level_now *= weekend if (day_of(MONTH) + day + 3) % 7 >= 5 else 1.0
            amount = level_now if account.exact else round(level_now * chance.uniform(0.8, 1.2), 3)
            if day < 0:
                total(account, day, feature, amount)
            elif amount:
                spread(account, day, feature, amount)


def total(account: Account, day: int, feature: str, amount: float) -> None:
    """A day's total, told at its end or on the next day."""
    person = account.person() if account.often(0.5) else None
    told = account.at(day + 1)
    account.say(
        told, "usage.daily_total", day=day_name(day_of(MONTH) + day), feature=feature, quantity=amount, person=person
    )


def spread(account: Account, day: int, feature: str, amount: float) -> None:
    """Uses of a day in a few events; now and then its total is told as well, rightly or not."""
    parts = account.chance.choice((1, 1, 2))
    for _ in range(parts):
        person = account.person() if account.often(0.8) else None
        at = account.at(day)
        account.say(at, "usage.feature_used", feature=feature, quantity=amount / parts, person=person)
    if account.often(0.03):
        total(account, day, feature, round(amount * account.chance.choice((0, 1, 1.5))))


def logged_in(account: Account) -> None:
    """Uses that name no feature."""
    for day in range(0, 30, account.chance.randint(1, 4)):
        type = account.chance.choice(("usage.login", "usage.api_called"))
        account.say(account.at(day), type, person=account.person())


# --- contact --------------------------------------------------------------------------------------------------------


def wrote(account: Account) -> None:
    """They write and are answered every few days, but for a while in which they are silent."""
    chance = account.chance
    period = chance.choice((1, 1, 2, 3))
    silent = range(account.day(2, 12), account.day(14, 40)) if account.often(0.7) else range(0)
    for day in range(-20, 30, period):
        if day not in silent:
            mood = round(chance.uniform(-1, 1), 2) if account.often(0.5) else None
            at = account.at(day)
            account.say(at, "message.received", channel="mail", person=account.person(), sentiment=mood)
            account.say(at + chance.randrange(9 * HOUR), "message.sent", channel="mail", person=account.person())


def met(account: Account) -> None:
    """Meetings with several people, and what became of them."""
    for day in range(-20, 30, account.chance.choice((5, 7, 11))):
        account.say(account.at(day), "meeting.held", people=account.people, minutes=30)
        missed = account.chance.choice(("meeting.missed", "meeting.cancelled", "interview.recorded", "note.added"))
        account.say(account.at(day), missed, person=account.person())


def answered(account: Account) -> None:
    """Surveys, NPS above all: somebody detracts, and says better things later, or worse ones."""
    chance = account.chance
    for _ in range(chance.randint(1, 6)):
        score = chance.choice((0, 3, 4, 6, 7, 9, 10))
        text = chance.choice((None, "too slow", "“fine” " * 90))
        account.say(
            account.at(account.day()),
            "survey.answered",
            instrument="nps",
            score=score,
            person=account.person(),
            text=text,
        )
    for instrument in chance.sample(("csat", "ces", "enps", "pulse"), 2):
        account.say(account.at(account.day()), "survey.answered", instrument=instrument, score=chance.randint(1, 5))


def asked_for_help(account: Account) -> None:
    """Tickets."""
    for number in range(account.chance.randint(1, 4)):
        at, ticket = account.at(account.day(-10)), f"T.{number}"
        account.say(at, "ticket.opened", ticket=ticket, person=account.person())
        for type in account.chance.sample(("replied", "escalated", "resolved", "reopened", "resolved"), 3):
            at += account.chance.randrange(3 * DAY)
            account.say(at, f"ticket.{type}", ticket=ticket)


def people_came_and_went(account: Account) -> None:
    """Persons join, change and leave."""
    for type in ("joined", "role_changed", "left", "unreachable", "joined"):
        if account.often(0.5):
            at = account.at(account.day(-9))
            account.say(
                at, f"person.{type}", person=account.person(), role=account.chance.choice(("admin", "champion"))
            )


def dealt(account: Account) -> None:
    """Money, outcomes, and what no contract knows."""
    money = {"amount": 9.5, "currency": "EUR"}
    for type in ("invoice.issued", "payment.received", "payment.overdue", "order.placed", "contract.renewed"):
        account.say(account.at(account.day(-9)), type, **money)
    for type in ("referral.given", "outcome.achieved", "weather.changed", "campaign.sent", "defect.reported"):
        account.say(account.at(account.day(-9)), type, person=account.person())


# --- promises and prices --------------------------------------------------------------------------------------------


def promised(account: Account) -> None:
    """Promises: kept before or after they are due, broken, both, made anew, theirs, forgotten."""
    chance = account.chance
    for number in range(chance.randint(1, 5)):
        name, made = f"q{number}/report.v2", account.at(account.day(-6, 28))
        due = made + chance.choice((3 * HOUR, DAY, 3 * DAY, 5 * DAY))
        told = chance.choice((iso(due), iso(due), day_name(day_of(due))))
        by = chance.choice((None, "us", "us", "them"))
        account.say(made, "promise.made", promise=name, due=told, by=by, text=chance.choice((None, "The report")))
        for type in chance.choice(((), ("kept",), ("kept",), ("broken",), ("broken", "kept"), ("kept", "broken"))):
            account.say(due + chance.randrange(-2 * DAY, 4 * DAY), f"promise.{type}", promise=name)
        if account.often(0.2):
            again = due + chance.randrange(-DAY, 2 * DAY)
            account.say(again, "promise.made", promise=name, due=iso(again + 2 * DAY), text="again")


def planned(account: Account) -> None:
    """Changes of prices and terms are planned, some for moments that have passed."""
    chance = account.chance
    for _ in range(chance.randint(1, 4)):
        at = account.at(account.day())
        effective = at + chance.randrange(-DAY, 9 * DAY)
        told = chance.choice((iso(effective), day_name(day_of(effective))))
        type = chance.choice(("price.change_planned", "price.change_planned", "terms.change_planned"))
        account.say(at, type, effective_at=told, change=chance.choice((None, 12, -3.5, "new tiers")))


# --- what is said of it ---------------------------------------------------------------------------------------------


def changed(account: Account) -> None:
    """Its kind, segment, tier or calendar become others."""
    chance = account.chance
    for _ in range(chance.randint(1, 3)):
        news = chance.choice(
            (
                {"kind": chance.choice(("customer", "partner"))},
                {"segment": chance.choice(("small", "large")), "tier": chance.choice(("gold", ""))},
                {"custom": {"calendar": chance.choice(("everyday", "business"))}},
                {"stage": chance.choice(("trial", "live")), "seats": chance.randint(1, 50)},
            )
        )
        account.say(account.at(account.day()), "relationship.updated", **news)


def left(account: Account) -> None:
    """It ends, and mostly comes back."""
    gone = account.day(5, 25)
    account.say(account.at(gone), "relationship.updated", status=account.chance.choice(("churned", "Lost")))
    if account.often(0.8):
        account.say(account.at(gone + account.chance.randint(0, 6)), "relationship.updated", status="active")


# --- afterthoughts --------------------------------------------------------------------------------------------------


def corrected(account: Account) -> None:
    """Some of what was said is taken back or put otherwise, now and then before it has come."""
    chance, told = account.chance, account.touchpoints()
    for one in chance.sample(told, min(len(told), chance.randint(0, 2))):
        at = one.time + chance.choice((-HOUR, 1, MINUTE, 5 * HOUR, 3 * DAY, 9 * DAY))
        answer = {"instrument": "nps", "score": chance.choice((1, 9)), "person": account.person()}
        replacement = chance.choice(
            (
                {"time": iso(one.time - chance.randrange(20 * DAY))},
                {"type": "message.received", "data": {"person": account.person()}},
                {"type": "survey.answered", "data": answer},
                {"type": "promise.made", "data": {"promise": "p", "due": iso(at + DAY)}, "time": iso(at - HOUR)},
                None,
                None,
            )
        )
        if replacement is None:
            account.say(at, "event.retracted", id=one.id)
        else:
            account.say(at, "event.corrected", id=one.id, replacement=replacement)


def repeated(account: Account) -> None:
    """Some events come again: at once, within the days in which an id counts once, at the end of these, later."""
    delays = (0, 1, HOUR, 3 * DAY, 7 * DAY - HOUR, 7 * DAY, 8 * DAY - 1, 8 * DAY, 11 * DAY)
    for one in [one for one in account.said if account.often(0.03)]:
        at = one.time + account.chance.choice(delays)
        if at < END:
            account.said.append(msgspec.structs.replace(one, time=at))


HABITS: dict[Habit, float] = {
    used: 0.8,
    logged_in: 0.3,
    wrote: 0.7,
    met: 0.3,
    answered: 0.4,
    asked_for_help: 0.3,
    people_came_and_went: 0.3,
    dealt: 0.3,
    promised: 0.5,
    planned: 0.4,
    changed: 0.3,
    left: 0.2,
}
"""How often an account has each of them."""
