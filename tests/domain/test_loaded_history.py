"""What loaded history shows alerts nobody, whatever playbook or directory it is held against later."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.contract.events import DAY, HOUR, MINUTE
from shared.domain.engine.one_event import SETTLE
from shared.domain.engine.terms import Terms
from shared.domain.playbooks.model import Match, Override, Playbook
from shared.domain.relationship.flags import Severity
from tests.domain.builders import Desk, at, playbook

NINE = at("2026-06-01T09:00:00Z")  # a Monday: history is loaded
OFF = {"enabled": False}


def loaded(book: Playbook | None = None, silent: int = 30, **said: Any) -> Desk:
    """Someone who wrote every day until so many days before history was loaded, which is judged by now."""
    desk = Desk(Terms(book or playbook()))
    if said:
        desk.say("relationship.updated", NINE, time=NINE - 60 * DAY, backfill=True, **said)
    for ago in range(silent + 14, silent - 1, -1):
        desk.say("message.received", NINE, time=NINE - ago * DAY, backfill=True, person="ana")
    desk.clock(NINE + SETTLE)
    return desk


def used(book: Playbook | None = None, export: float = 10) -> Desk:
    """Ten weeks of 40 uses a day, of which the last one has less of `export`."""
    desk = Desk(Terms(book or playbook()))
    for ago in range(70, 0, -1):
        quantity = {"export": export if ago <= 7 else 40, "reports": 40}
        for feature, count in quantity.items():
            noon = NINE - ago * DAY + 3 * HOUR
            desk.say("usage.feature_used", NINE, time=noon, backfill=True, feature=feature, quantity=count)
    desk.clock(NINE + SETTLE)
    return desk


def use(desk: Desk, days: range, export: float) -> None:
    """So much use on these days from when history was loaded, as it comes in."""
    for day in days:
        for feature, count in {"export": export, "reports": 40}.items():
            desk.say("usage.feature_used", NINE + day * DAY + 3 * HOUR, feature=feature, quantity=count)


def under(desk: Desk, book: Playbook, now: int) -> None:
    """Another playbook, by which everything is judged at this moment."""
    desk.terms = Terms(book)
    desk.block.schedule(desk.row, now)
    desk.clock(now)


def alerted(desk: Desk) -> list[tuple[str, bool]]:
    """The flags that stand, and whether somebody was alerted."""
    return sorted((key, not flag.suppressed) for key, flag in desk.state.flags.items())


# --- what was taken away comes back as it stood ---------------------------------------------------------------------


@pytest.mark.parametrize("mistake", [OFF, {"params": {"minimum_days": 200}}])
@pytest.mark.parametrize("days", [1, 40])
def test_what_stood_without_an_alert_comes_back_without_one(mistake: dict[str, Any], days: int) -> None:
    desk = loaded()
    assert alerted(desk) == [("silence", False)]
    under(desk, playbook("silence", **mistake), NINE + days * DAY)
    assert desk.flags == set()
    under(desk, playbook(), NINE + 2 * days * DAY)
    assert alerted(desk) == [("silence", False)]


@pytest.mark.parametrize(("mistake", "put_back"), [({"tier": "x"}, {"tier": ""}), ({"status": "lost"}, {"status": ""})])
def test_so_it_does_where_the_directory_took_it_away(mistake: dict[str, str], put_back: dict[str, str]) -> None:
    desk = loaded(playbook("silence", overrides=(Override(match=Match(tier=("x",)), enabled=False),)))
    desk.say("relationship.updated", NINE + DAY, **mistake)
    desk.clock(NINE + DAY + HOUR)
    assert desk.flags == set()
    desk.say("relationship.updated", NINE + 2 * DAY, **put_back)
    desk.clock(NINE + 2 * DAY + HOUR)
    assert alerted(desk) == [("silence", False)]


def test_another_silence_is_news() -> None:
    desk = loaded()
    under(desk, playbook("silence", **OFF), NINE + DAY)
    desk.say("message.received", NINE + 2 * DAY, person="ana")
    under(desk, playbook(), NINE + 30 * DAY)
    assert alerted(desk) == [("silence", True)]


@pytest.mark.parametrize(("again", "news"), [(5, False), (9, True)])
def test_a_drop_is_the_same_as_long_as_its_days_are(again: int, news: bool) -> None:
    desk = used()
    assert alerted(desk) == [("feature_decline/export", False), ("usage_drop", False)]
    under(desk, playbook("feature_decline", **OFF), NINE + HOUR)
    assert desk.flags == {"usage_drop"}
    use(desk, range(again), 10)
    under(desk, playbook(), NINE + again * DAY)
    assert alerted(desk) == [("feature_decline/export", news), ("usage_drop", False)]


def test_a_promise_made_anew_is_another_one() -> None:
    desk = Desk()
    desk.say("promise.made", NINE, time=NINE - 9 * DAY, promise="p", due="2026-05-28", backfill=True)
    desk.say("promise.made", NINE, time=NINE - 9 * DAY, promise="q", due="2026-05-28", backfill=True)
    desk.clock(NINE + SETTLE)
    under(desk, playbook("expectation_violated", **OFF), NINE + HOUR)
    desk.say("promise.made", NINE + HOUR, promise="q", due="2026-06-01T11:00:00Z")
    under(desk, playbook(), NINE + DAY)
    assert alerted(desk) == [("expectation_violated/p", False), ("expectation_violated/q", True)]


def test_what_somebody_was_alerted_of_comes_back_with_an_alert_while_history_is_loaded() -> None:
    desk = loaded(silent=1)
    desk.clock(NINE + 20 * DAY)
    assert alerted(desk) == [("silence", True)]
    under(desk, playbook("silence", **OFF), NINE + 20 * DAY)
    desk.terms = Terms(playbook())
    desk.say("note.added", NINE + 20 * DAY + HOUR, time=NINE - 90 * DAY, backfill=True)
    desk.clock(NINE + 20 * DAY + HOUR + SETTLE)
    assert (desk.state.evaluated_at, alerted(desk)) == (desk.state.suppressed_until, [("silence", True)])


def test_what_history_makes_worse_stays_what_somebody_was_alerted_of() -> None:
    desk = used(export=36)
    use(desk, range(4), 16)
    desk.clock(NINE + 4 * DAY)
    assert alerted(desk)[0] == ("feature_decline/export", True)
    for day in range(4):
        said = {"day": f"2026-06-0{1 + day}", "feature": "export", "quantity": 0}
        desk.say("usage.daily_total", NINE + 4 * DAY, backfill=True, **said)
    desk.clock(NINE + 4 * DAY + SETTLE)
    assert desk.state.flags["feature_decline/export"].severity == Severity.CRITICAL
    assert (desk.changes[-1].suppressed, alerted(desk)[0]) == (True, ("feature_decline/export", True))
    under(desk, playbook("feature_decline", **OFF), NINE + 4 * DAY + HOUR)
    under(desk, playbook(), NINE + 4 * DAY + 2 * HOUR)
    assert alerted(desk)[0] == ("feature_decline/export", True)


def test_what_has_got_worse_meanwhile_is_news() -> None:
    desk = used(export=26)
    assert desk.state.flags["feature_decline/export"].severity == Severity.WARNING
    under(desk, playbook("feature_decline", **OFF), NINE + HOUR)
    use(desk, range(5), 0)
    under(desk, playbook(), NINE + 5 * DAY)
    assert alerted(desk)[0] == ("feature_decline/export", True)
    assert desk.state.flags["feature_decline/export"].severity == Severity.CRITICAL


# --- what other settings find in loaded history -----------------------------------------------------------------------


@pytest.mark.parametrize("before", [OFF, {"params": {"minimum_days": 200}}])
def test_what_loaded_history_shows_under_other_settings_alerts_nobody(before: dict[str, Any]) -> None:
    desk = loaded(playbook("silence", **before))
    assert desk.flags == set()
    under(desk, playbook(), NINE + 30 * DAY)
    assert alerted(desk) == [("silence", False)]


def test_what_has_come_about_since_history_was_loaded_is_news_under_other_settings() -> None:
    desk = loaded(playbook("silence", **OFF), silent=1)
    under(desk, playbook(), NINE + 30 * DAY)
    assert alerted(desk) == [("silence", True)]


def test_without_loaded_history_all_is_news_under_other_settings() -> None:
    desk = Desk(Terms(playbook("silence", **OFF)))
    for ago in range(14, -1, -1):
        desk.say("message.received", NINE - ago * DAY, person="ana")
    desk.clock(NINE + 10 * DAY)
    under(desk, playbook(), NINE + 10 * DAY + HOUR)
    assert alerted(desk) == [("silence", True)]


def test_a_relationship_that_was_over_when_it_was_loaded_alerts_nobody_when_it_is_taken_up_again() -> None:
    desk = loaded(status="churned")
    desk.say("relationship.updated", NINE + 3 * DAY, status="active")
    desk.clock(NINE + 3 * DAY + HOUR)
    assert alerted(desk) == [("silence", False)]


@pytest.mark.parametrize("until", [2, 6])
def test_a_drop_in_loaded_history_alerts_nobody_as_long_as_it_can_be_told_from_what_came_later(until: int) -> None:
    desk = used(playbook("feature_decline", **OFF))
    use(desk, range(until), 10)
    under(desk, playbook(), NINE + until * DAY)
    assert alerted(desk) == [("feature_decline/export", until == 6), ("usage_drop", False)]


def test_a_drop_since_history_was_loaded_is_news_under_other_settings() -> None:
    desk = used(playbook("feature_decline", **OFF), export=36)
    assert desk.flags == set()
    use(desk, range(3), 0)
    under(desk, playbook(), NINE + 3 * DAY)
    assert alerted(desk)[0] == ("feature_decline/export", True)


def test_promises_of_today_are_news_under_other_settings() -> None:
    desk = Desk(Terms(playbook("expectation_violated", **OFF)))
    for name, backfill in (("old", True), ("today", False)):
        desk.say("promise.made", NINE - HOUR, time=NINE - 9 * DAY, promise=name, due="2026-05-28", backfill=backfill)
    desk.say("note.added", NINE, time=NINE - 9 * DAY, backfill=True)
    desk.clock(NINE + SETTLE)
    under(desk, playbook(), NINE + HOUR)
    assert alerted(desk) == [("expectation_violated/old", False), ("expectation_violated/today", True)]


@pytest.mark.parametrize(
    ("changed", "loud"), [({"severity": Severity.CRITICAL}, False), ({"params": {"critical": 0.3}}, False), ({}, True)]
)
def test_what_is_worse_by_other_settings_alone_alerts_nobody(changed: dict[str, Any], loud: bool) -> None:
    desk = used(export=26)
    assert alerted(desk)[0] == ("feature_decline/export", False)
    use(desk, range(3), 0 if loud else 26)
    under(desk, playbook("feature_decline", **changed), NINE + 3 * DAY)
    assert desk.state.flags["feature_decline/export"].severity == Severity.CRITICAL
    assert alerted(desk)[0] == ("feature_decline/export", loud)


def test_what_somebody_was_alerted_of_gets_worse_with_an_alert_by_other_settings_too() -> None:
    desk = loaded(silent=1)
    desk.clock(NINE + 20 * DAY)
    under(desk, playbook("silence", severity=Severity.CRITICAL), NINE + 20 * DAY + MINUTE)
    assert (desk.changes[-1].severity, alerted(desk)) == (Severity.CRITICAL, [("silence", True)])
