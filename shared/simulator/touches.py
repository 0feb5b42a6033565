"""Messages, meetings, tickets, surveys, payments and promises, each with the rhythm of its account.

What begins on a day is drawn from that day alone, so history, live traffic and a restart plan the same. Nobody's
silence comes near its limit: customers and partners write at least every four business days, where the limit is never
below five; the others write so regularly (within 15 % of their period) that 1.5 times their usual gap is out of reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from shared.domain.contract.days import Day, day_name, iso
from shared.domain.contract.events import DAY, HOUR, MINUTE, JsonObject, Millis
from shared.simulator import names
from shared.simulator.accounts import Account
from shared.simulator.chance import between, chance, pick
from shared.simulator.plan import Planned
from shared.simulator.usage import weekday

LONGEST = 30  # days after its beginning by which everything that begun on a day is over


class _Day:
    """One account's day: draws chance for it and makes its events."""

    def __init__(self, seed: int, account: Account, day: Day, calm: bool) -> None:
        self.account = account
        self.day = day
        self.calm = calm
        self.seed = seed
        self.mail = account.contacts[0].mail

    def chance(self, what: str) -> float:
        return chance(self.seed, self.account.id, self.day, what)

    def every(self, business_days: int, what: str) -> bool:
        """Once in so many business days, on a day of the account's own."""
        offset = int(chance(self.seed, self.account.id, what) * business_days)
        return _business_index(self.day) % business_days == offset

    def hour(self, what: str, first: float = 8.0, last: float = 17.0) -> Millis:
        return self.day * DAY + round((first + (last - first) * self.chance(what + " hour")) * HOUR)

    def later(self, at: Millis, business_days: int, what: str) -> Millis:
        """So many business days after `at`, at an hour of its own."""
        day = at // DAY
        while business_days:
            day += 1
            business_days -= weekday(day) < 5
        return day * DAY + round(between(8, 17, self.seed, self.account.id, self.day, what) * HOUR)

    def event(self, at: Millis, type: str, what: str, **data: object) -> Planned:
        known: JsonObject = {name: value for name, value in data.items() if value is not None}
        return Planned(at, self.account.id, type, f"{day_name(self.day)}/{what}", known)

    def someone(self, what: str) -> str:
        """Mostly the main contact."""
        return self.mail if self.chance(what) < 0.6 else pick(self.account.contacts, self.seed, self.day, what).mail


def begun_on(seed: int, account: Account, day: Day, calm_since: Day) -> Iterator[Planned]:
    """Everything that begins on this day, with what follows from it later; nothing begins on weekends.

    From `calm_since` on no promise breaks and nobody answers as a detractor: that is left to the demo's incidents.
    """
    if weekday(day) >= 5:
        return
    today = _Day(seed, account, day, day >= calm_since)
    for habit in HABITS[account.kind]:
        yield from habit(today)


def between_moments(seed: int, account: Account, after: Millis, until: Millis, calm_since: Day) -> list[Planned]:
    """What happens in (after, until], in order."""
    days = range(after // DAY - LONGEST, until // DAY + 1)
    found = (planned for day in days for planned in begun_on(seed, account, day, calm_since))
    return sorted((planned for planned in found if after < planned.at <= until), key=lambda planned: planned.at)


def _business_index(day: Day) -> int:
    weeks, wd = divmod(day + 3, 7)
    return weeks * 5 + min(wd, 4)


def writes_on(seed: int, account: Account, day: Day) -> bool:
    """Whether they get in touch on this business day."""
    block, place = divmod(_business_index(day), account.period)
    spread = 1 if account.period in (2, 3) else int(0.15 * account.period)
    return place == int(chance(seed, account.id, "block", block) * (spread + 1))


def _sentiment(today: _Day, what: str) -> float:
    return round(max(-1.0, min(1.0, 0.15 + 0.6 * today.account.mood + 0.5 * (today.chance(what) - 0.5))), 2)


def _messages(today: _Day) -> Iterator[Planned]:
    if not writes_on(today.seed, today.account, today.day):
        return
    sentiment = _sentiment(today, "message")
    said = names.GOOD if sentiment > 0.4 else names.BAD if sentiment < -0.1 else names.PLAIN
    at, thread = today.hour("message"), f"{today.account.id}-{today.day}"
    text = pick(said, today.account.id, today.day)
    person = today.someone("writes")
    data = {"channel": "mail", "thread": thread, "person": person}
    yield today.event(at, "message.received", "in", **data, text=text, sentiment=sentiment)
    answer = at + round((0.5 + (4 - 2 * today.account.mood) * today.chance("answer")) * HOUR)
    yield today.event(answer, "message.sent", "out", **data, peer=today.account.owner)


def _meetings(today: _Day) -> Iterator[Planned]:
    if today.every(15, "meeting"):
        people = [contact.mail for contact in today.account.contacts[: 1 + int(today.chance("people") * 3)]]
        minutes = 30 if today.chance("minutes") < 0.6 else 60
        at = today.hour("meeting", 9, 16)
        yield today.event(
            at, "meeting.held", "meeting", channel="call", people=people, peers=[today.account.owner], minutes=minutes
        )


def _tickets(today: _Day) -> Iterator[Planned]:
    if today.chance("ticket") > 0.05 - 0.03 * today.account.mood:
        return
    ticket, person, at = f"{today.account.id}-{today.day}", today.someone("opens"), today.hour("ticket")
    priority = "urgent" if today.chance("priority") < 0.1 else "normal"
    text = pick(names.TICKETS, today.account.id, today.day, "ticket")
    yield today.event(at, "ticket.opened", "ticket", ticket=ticket, person=person, priority=priority, text=text)
    yield today.event(at + 50 * MINUTE, "ticket.replied", "ticket reply", ticket=ticket, peer=today.account.owner)
    solved = today.later(at, 1 + int(today.chance("solved") * 2), "solved")
    yield today.event(solved, "ticket.resolved", "ticket end", ticket=ticket, peer=today.account.owner)
    if today.chance("csat") < 0.5:
        score = max(1, min(5, round(3.7 + 1.2 * today.account.mood + 1.2 * (today.chance("csat score") - 0.5))))
        asked = {"instrument": "csat", "score": score, "person": person}
        yield today.event(solved + 20 * MINUTE, "survey.answered", "csat", **asked)


def _surveys(today: _Day) -> Iterator[Planned]:
    if today.every(65, "nps"):
        score = max(
            7 if today.calm else 2, min(10, round(7.6 + 2.6 * today.account.mood + 2 * (today.chance("nps") - 0.5)))
        )
        asked = {"instrument": "nps", "score": score, "person": today.mail}
        yield today.event(today.hour("nps"), "survey.answered", "nps", **asked)


def _payments(today: _Day) -> Iterator[Planned]:
    if not today.every(21, "invoice"):
        return
    amount = round(today.account.seats * between(40, 90, today.seed, today.account.id, "price") + 300, 2)
    money: JsonObject = {"amount": amount, "currency": "EUR"}
    at = today.hour("invoice")
    due = iso(at + 14 * DAY)
    yield today.event(at, "invoice.issued", "invoice", **money, due=due)
    late = today.chance("late") < 0.05 - 0.35 * min(0.0, today.account.mood)
    if late:
        yield today.event(at + 15 * DAY, "payment.overdue", "overdue", **money, due=due)
    yield today.event(at + round((17 if late else 9) * DAY), "payment.received", "payment", **money)


def _promises(today: _Day) -> Iterator[Planned]:
    if not today.every(30, "promise"):
        return
    at, promise = today.hour("promise"), f"{today.account.id}-{today.day}"
    text = pick(names.PROMISES, today.account.id, today.day)
    due = today.later(at, 7, "due")
    data = {"promise": promise, "by": "us", "text": text}
    yield today.event(at, "promise.made", "promise", **data, due=iso(due))
    if today.account.mood < -0.2 and not today.calm and today.chance("broken") < 0.4:
        yield today.event(due + HOUR, "promise.broken", "promise end", promise=promise, by="us")
        yield today.event(due + 9 * DAY, "promise.kept", "promise after all", promise=promise, by="us")
    else:
        yield today.event(today.later(at, 4, "kept"), "promise.kept", "promise end", promise=promise, by="us")


def _outcomes(today: _Day) -> Iterator[Planned]:
    if today.every(80, "outcome") and today.account.mood > 0.1:
        yield today.event(today.hour("outcome"), "outcome.achieved", "outcome", text="Goal of the quarter reached")
    if today.every(120, "referral") and today.account.mood > 0.4:
        yield today.event(today.hour("referral"), "referral.given", "referral", person=today.mail)


def _regularly(*types: str) -> Callable[[_Day], Iterator[Planned]]:
    """One of these types on each day they get in touch; nothing else of theirs comes in between."""

    def habit(today: _Day) -> Iterator[Planned]:
        if writes_on(today.seed, today.account, today.day):
            type = pick(types, today.seed, today.account.id, today.day, "type")
            yield today.event(today.hour("touch"), type, "touch", person=today.mail)

    return habit


HABITS: dict[str, tuple[Callable[[_Day], Iterator[Planned]], ...]] = {
    "customer": (_messages, _meetings, _tickets, _surveys, _payments, _promises, _outcomes),
    "partner": (_messages, _meetings, _promises, _outcomes),
    "supplier": (_regularly("delivery.received", "delivery.received", "message.received"),),
    "investor": (_regularly("report.opened", "question.asked", "message.received"),),
    "community": (_regularly("contribution.made", "event.attended", "mention.published"),),
}
