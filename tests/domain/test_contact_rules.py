"""Silence and promises. 2026-06-01 is a Monday."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.contract.events import DAY, HOUR, MINUTE
from shared.domain.playbooks.model import Playbook
from shared.domain.relationship.state import Directory
from shared.domain.relationship.touchpoints import Touchpoint
from shared.domain.rules.contact import silence
from shared.domain.rules.declaration import CRITICAL, NONE
from shared.domain.rules.promises import BROKEN_FOR, expectation_violated
from tests.domain.builders import at, judged, looked, playbook, row_with, touch

MONDAY = at("2026-06-01T09:00:00Z")
EVERY_DAY = Directory(custom={"calendar": "everyday"})


def daily(days: int = 5, person: str = "ana") -> list[Touchpoint]:
    """A message at 9:00 on each of these days, from Monday on."""
    return [touch("message.received", MONDAY + day * DAY, f"m{day}", person=person) for day in range(days)]


def silent(touches: list[Touchpoint], now: int, **fields: Any) -> tuple[bool, int, dict[str, float]]:
    """Whether silence fires, when it is due, and its numbers."""
    block, row = row_with(touches, **fields)
    result = looked(silence, block.view([row], [now]))
    assert result.fires.tolist() == result.stays.tolist()
    assert not result.critical[0]
    numbers = {name: float(column[0]) for name, column in result.numbers.items()}
    return bool(result.fires[0]), int(result.due[0]), numbers


def test_silence_falls_due_over_the_weekend() -> None:
    due = at("2026-06-12T09:00:00Z")  # Friday 9:00 and five business days: Friday 9:00
    assert silent(daily(), due - 1)[:2] == (False, due)
    # while it lasts, its words are renewed every day
    assert silent(daily(), due) == (True, at("2026-06-13"), {"silent": 5, "limit": 5, "usual": 1})
    assert silent(daily(), due + 4 * DAY)[2]["silent"] == 7  # the Tuesday after: Friday and Monday have passed


def test_its_numbers_are_told_as_they_are_said() -> None:
    due = at("2026-06-12T09:00:00Z") + 3 * HOUR + 7 * MINUTE
    assert silent(daily(), due)[2] == {"silent": 5.1, "limit": 5, "usual": 1}


def test_a_relationship_without_weekends() -> None:
    due = at("2026-06-10T09:00:00Z")
    assert silent(daily(), due, directory=EVERY_DAY) == (True, at("2026-06-11"), {"silent": 5, "limit": 5, "usual": 1})
    assert not silent(daily(), due - 1, directory=EVERY_DAY)[0]


def test_our_messages_do_not_break_their_silence() -> None:
    touches = [*daily(), touch("message.sent", MONDAY + 10 * DAY, "o1")]
    assert silent(touches, at("2026-06-12T09:00:00Z"))[0]


def test_a_word_from_them_does() -> None:
    touches = [*daily(), touch("message.received", MONDAY + 10 * DAY, "m10")]
    assert not silent(touches, at("2026-06-12T09:00:00Z"))[0]


@pytest.mark.parametrize("touches", [[], daily(4), [touch("message.sent", MONDAY, "o1")]])
def test_what_has_no_cadence_yet_is_not_silent(touches: list[Touchpoint]) -> None:
    assert silent(touches, MONDAY + 300 * DAY)[:2] == (False, 0)


def test_words_and_evidence_of_silence() -> None:
    numbers = {"silent": 7.5, "usual": 1.0}
    block, row = row_with(daily())
    assert silence.words(row, "", numbers) == "ana silent for 7.5 business days, usual gap 1"
    assert silence.evidence(block.view([row], [MONDAY]), 0, "", {}).events == ("test#m4",)
    _, row = row_with([*daily(), touch("person.joined", MONDAY, "p", person="ana", role="champion")])
    assert silence.words(row, "", numbers).startswith("ana (champion) silent")
    _, row = row_with(daily(person=""), directory=EVERY_DAY)
    assert silence.words(row, "", numbers) == "they have been silent for 7.5 days, usual gap 1"


def promise(name: str = "p", due: str = "2026-06-03T09:00:00Z", **more: Any) -> Touchpoint:
    return touch("promise.made", MONDAY, f"made {name}", promise=name, due=due, **more)


def broken(touches: list[Touchpoint], now: int, book: Playbook | None = None, **fields: Any) -> tuple[Any, int]:
    """Promises flagged (True: critical), and the next moment to look."""
    block, row = row_with(touches, **fields)
    result = judged(expectation_violated, block.view([row], [now]), book)
    assert result.stays.all()
    assert (result.severity > NONE).all()
    critical = (result.severity == CRITICAL).tolist()
    assert result.numbers["overdue"].tolist() == critical
    return dict(zip(result.subject, critical, strict=True)), int(result.due[0])


def test_a_promise_warns_a_day_before_and_is_broken_when_due() -> None:
    due = MONDAY + 2 * DAY
    assert broken([promise()], MONDAY) == ({}, due - DAY)
    assert broken([promise()], due - DAY - 1) == ({}, due - DAY)
    assert broken([promise()], due - DAY) == ({"p": False}, due)
    assert broken([promise()], due - 1) == ({"p": False}, due)
    assert broken([promise()], due) == ({"p": True}, 0)
    assert broken([promise()], due + 300 * DAY) == ({"p": True}, 0)


def test_the_warning_comes_on_a_business_day() -> None:
    made = promise(due="2026-06-08T09:00:00Z")  # a Monday: 24 business hours before is Friday 9:00
    assert broken([made], MONDAY)[1] == at("2026-06-05T09:00:00Z")
    assert broken([made], MONDAY, directory=EVERY_DAY)[1] == at("2026-06-07T09:00:00Z")


def test_no_warning_for_what_was_promised_at_short_notice_or_if_none_is_wanted() -> None:
    soon = promise(due="2026-06-02T08:00:00Z")
    assert broken([soon], MONDAY + HOUR) == ({}, at("2026-06-02T08:00:00Z"))
    none = playbook("expectation_violated", params={"warn_hours": 0})
    assert broken([promise()], MONDAY + 47 * HOUR, none) == ({}, MONDAY + 2 * DAY)


def test_what_they_promised_is_no_flag() -> None:
    assert broken([promise(by="them")], MONDAY + 9 * DAY) == ({}, 0)
    assert broken([promise(by="us")], MONDAY + 9 * DAY) == ({"p": True}, 0)


def test_what_was_kept_is_no_flag() -> None:
    assert broken([promise(), touch("promise.kept", MONDAY + 9 * DAY, "k", promise="p")], MONDAY + 9 * DAY) == ({}, 0)


def test_what_was_broken_is_a_flag_for_thirty_days() -> None:
    touches = [promise(due="2026-07-01"), touch("promise.broken", MONDAY + DAY, "b", promise="p")]
    since = MONDAY + DAY
    assert broken(touches, since) == ({"p": True}, since + BROKEN_FOR)
    assert broken(touches, since + BROKEN_FOR - 1) == ({"p": True}, since + BROKEN_FOR)
    assert broken(touches, since + BROKEN_FOR) == ({}, 0)


def test_the_earliest_of_several_is_due_next() -> None:
    touches = [promise("p"), promise("q", "2026-06-02T18:00:00Z"), promise("r", "2026-06-30")]
    assert broken(touches, MONDAY + DAY) == ({"p": False, "q": False}, at("2026-06-02T18:00:00Z"))
    assert broken(touches, MONDAY + 2 * DAY) == ({"p": True, "q": True}, at("2026-06-29"))


def test_words_and_evidence_of_promises() -> None:
    touches = [promise("p", text="the report"), promise("q"), touch("promise.broken", MONDAY, "b", promise="q")]
    touches.append(touch("promise.broken", MONDAY, "never made", promise="r"))
    block, row = row_with(touches)
    words = expectation_violated.words
    assert words(row, "p", {"overdue": 0}) == "promise is due 2026-06-03 09:00 UTC and not kept: the report"
    assert words(row, "p", {"overdue": 1}) == "promise was due 2026-06-03 09:00 UTC and not kept: the report"
    assert words(row, "q", {"overdue": 1}) == "promise broken: q"
    view = block.view([row], [MONDAY])
    evidence = {name: expectation_violated.evidence(view, 0, name, {}).events for name in "pqr"}
    assert evidence == {"p": ("test#made p",), "q": ("test#made q", "test#b"), "r": ("test#never made",)}
