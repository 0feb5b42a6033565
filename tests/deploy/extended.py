"""What comes by itself with the rules and the factor of docs/extending.md: run by test_extending.py where they are.

Not collected by itself, for nowhere else is there anything of that name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.api.shown import relationship_out
from services.api.web.theme import factor_words, rule_words
from shared.domain.contract.days import day_name, day_of
from shared.domain.contract.events import DAY, HOUR, Interaction
from shared.domain.engine.replay import Flagged, Replay
from shared.domain.engine.terms import Terms
from shared.domain.errors import Misconfigured
from shared.domain.playbooks.model import Match, Override, default_playbook
from shared.domain.relationship.flags import Counter, Severity
from shared.domain.rules.declaration import Polarity
from shared.domain.rules.table import RULES
from shared.playbooks.guide import with_rules
from shared.playbooks.loader import load_playbook
from shared.playbooks.writing import written
from tests.domain.builders import Desk, at, playbook

RULE, EVENT_RULE, FACTOR = "seats_nearly_full", "dispute_open", "punctuality"
NOON = at("2026-06-01T12:00:00Z")
SAID = {"kind": "partner", "type": "Key", "segment": "Enterprise", "tier": "Gold", "stage": "live"}
ROOT = Path(__file__).parents[1]


def filled(people: int, terms: Terms | None = None) -> Desk:
    """Of ten seats, so many were used on one day; everything has been looked at since."""
    desk = Desk(terms or Terms(playbook()))
    desk.say("relationship.updated", NOON, seats=10, **SAID)
    for number in range(people):
        desk.say("usage.login", NOON, person=f"p{number}")
    desk.clock(NOON + HOUR)
    return desk


def test_the_rule_is_known_with_what_it_declares() -> None:
    rule, settings = RULES[RULE], default_playbook().rules[RULE]
    assert (rule.polarity, rule.cooldown_days, rule_words(RULE)) == (Polarity.GREEN, 30, "Seats nearly full")
    assert settings.enabled
    assert (settings.params, settings.cooldown_days) == (rule.params(), 30)
    assert settings.advice == ("Offer more seats before they run out.",)
    assert load_playbook() == default_playbook()
    assert f"  # {rule.about}\n  {RULE}:\n" in written(load_playbook())


def test_a_playbook_may_set_it(tmp_path: Path) -> None:
    file = tmp_path / "team.yaml"
    file.write_text(f'version: "1"\nrules:\n  {RULE}:\n    params:\n      share: 0.5\n')
    share = 0.5
    assert load_playbook(file).rules[RULE].params == RULES[RULE].params(share=share)  # type: ignore[call-arg]
    file.write_text(f'version: "1"\nrules:\n  {RULE}:\n    params:\n      share: 2\n')
    with pytest.raises(Misconfigured) as refused:
        load_playbook(file)
    told = f"rules.{RULE}.params.share: expected a number above 0 and at most 1, not '2'"
    assert str(refused.value) == f"{file}:5:14: {told}"


def test_whoever_fulfils_it_gets_the_flag_until_that_is_over() -> None:
    assert filled(8).flags == set()
    desk = filled(9)
    flag = desk.state.flags[RULE]
    assert (flag.severity, flag.since, flag.reason) == (
        Severity.INFO,
        NOON + HOUR,
        "9 of 10 seats in use within 30 days",
    )
    assert flag.numbers == {"people": 9, "seats": 10}
    assert flag.evidence.counters == (Counter("", day_name(day_of(NOON)), 9),)
    desk.say("usage.login", NOON + 2 * HOUR, person="p9")
    desk.clock(NOON + 3 * HOUR)
    assert desk.state.flags[RULE].reason == "10 of 10 seats in use within 30 days"
    desk.clock(NOON + 29 * DAY)
    assert desk.flags == {RULE}
    desk.clock(NOON + 30 * DAY)  # nothing has come in
    assert desk.flags == set()
    assert [(change.raised, change.moment) for change in desk.changes] == [
        (True, NOON + HOUR),
        (False, at("2026-07-01")),
    ]


def test_more_seats_end_it() -> None:
    desk = filled(9)
    desk.say("relationship.updated", NOON + 2 * HOUR, seats=20)
    desk.clock(NOON + 3 * HOUR)
    assert desk.flags == set()


@pytest.mark.parametrize("match", [{"tenant": ("Acme",)}, *({name: (value.upper(),)} for name, value in SAID.items())])
def test_it_has_other_thresholds_for_some(match: dict[str, Any]) -> None:
    def flags(match: Match) -> set[str]:
        return filled(5, Terms(playbook(RULE, overrides=(Override(match=match, params={"share": 0.5}),)))).flags

    assert flags(Match(**match)) == {RULE}
    assert flags(Match(**dict.fromkeys(match, ("other",)))) == set()


def test_the_page_on_playbooks_lists_it() -> None:
    page = (ROOT / "docs" / "playbooks.md").read_text(encoding="utf-8")
    assert page == with_rules(page)
    about = "Nearly every seat is in use: they may need more."
    assert f"| `{RULE}` | {about} | green | at the relationship's own moments | 30 days |" in page
    assert "| `share` | 0.9 | a number above 0 and at most 1 | share of the seats in use |" in page


def test_a_replay_tells_of_it() -> None:
    events = [
        Interaction("acme", "a", f"e{number}", "s", type, NOON, msgspec.Raw(msgspec.json.encode(data)))
        for number, (type, data) in enumerate(
            [
                ("relationship.updated", {"seats": 10}),
                *(("usage.login", {"person": f"p{one}"}) for one in range(9)),
            ]
        )
    ]
    found = Replay(Terms(default_playbook(), phase=lambda id: 0)).run(events, NOON + 40 * DAY)
    assert [(one.change.rule, one.change.raised) for one in found if isinstance(one, Flagged)] == [
        (RULE, True),
        (RULE, False),
    ]


def test_an_event_rule_decides_at_once() -> None:
    desk = Desk(Terms(playbook()))
    key = desk.say("dispute.opened", NOON)
    flag = desk.state.flags[EVENT_RULE]
    assert (flag.reason, flag.evidence.events, flag.until) == ("a dispute began", (key,), NOON + 90 * DAY)
    desk.say("dispute.resolved", NOON + HOUR)
    assert desk.flags == set()


def test_the_factor_is_explained_and_counts() -> None:
    desk = Desk(Terms(playbook()))
    desk.say("survey.answered", NOON - 2 * HOUR, instrument="nps", score=8)
    for kind in ("payment.received", "payment.received", "payment.overdue"):
        desk.say(kind, NOON - HOUR)
    desk.clock(NOON)
    scores = relationship_out(desk.shown(), {}).scores
    mine = scores.rv.factors[FACTOR]
    assert (mine.value, mine.confidence, mine.reason) == (0.6, 0.34, "2 payments, 1 overdue")
    assert mine.inputs == {"paid": 2, "late": 1}
    assert factor_words(FACTOR) == "Punctuality"
    values = [one.value for one in scores.rv.factors.values() if one.value is not None]
    assert len(values) == len(scores.rv.factors)
    product = 1.0
    for value in values:
        product *= value
    assert scores.rv.index == pytest.approx(100 * product ** (1 / len(values)), abs=0.05)


def test_a_state_for_those_who_do_not_know_the_rule() -> None:
    (ROOT / "flagged.json").write_bytes(msgspec.json.encode(filled(9).shown()))
