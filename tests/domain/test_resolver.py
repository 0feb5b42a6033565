"""Settings of a relationship: a playbook's overrides, by what is said of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shared.domain.columns.block import Block
from shared.domain.columns.row import Entry, Row
from shared.domain.contract.days import day_of
from shared.domain.contract.events import DAY
from shared.domain.engine.terms import SLACK_DAYS, Terms
from shared.domain.playbooks import resolver as resolving
from shared.domain.playbooks.model import Match, Override, Playbook
from shared.domain.playbooks.resolver import Resolver, covers
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.flags import Severity
from shared.domain.relationship.state import Directory, RelationshipState
from shared.domain.rules.baseline import days_needed
from shared.domain.rules.usage import DropParams, usage_drop
from tests.domain.builders import LOG, at, looked, playbook, state

NOW = at("2026-06-01")


def overridden(*overrides: Override, **settings: Any) -> Playbook:
    return playbook("usage_drop", overrides=overrides, **settings)


def other(**said: Any) -> RelationshipState:
    return state(directory=Directory(**said))


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({"tenant": ("acme",)}, True),
        ({"tenant": ("other",)}, False),
        ({"kind": ("PARTNER", "investor")}, True),
        ({"kind": ("customer",)}, False),
        ({"type": ("bff",)}, True),
        ({"segment": ("enterprise",)}, True),
        ({"tier": ("gold",)}, True),
        ({"stage": ("Onboarding",)}, True),
        ({"segment": ("Enterprise",), "tier": ("silver",)}, False),
        ({"segment": ("Enterprise",), "tier": ("silver", "GOLD")}, True),
    ],
)
def test_a_match_is_by_all_that_it_names_without_regard_to_case(match: dict[str, tuple[str, ...]], fits: bool) -> None:
    book = overridden(Override(match=Match(**match), enabled=False))
    said = other(kind="Partner", type="BFF", segment="Enterprise", tier="Gold", stage="onboarding")
    assert Resolver(book).of(said)["usage_drop"].enabled is not fits


@pytest.mark.parametrize(
    ("narrower", "covered"),
    [
        ({"segment": ("ENTERPRISE",)}, True),
        ({"segment": ("Small", "Enterprise")}, True),
        ({"segment": ("Enterprise",), "tier": ("gold",)}, True),
        ({"segment": ("Enterprise", "other")}, False),
        ({"tier": ("gold",)}, False),
    ],
)
def test_a_match_covers_one_that_asks_for_more(narrower: dict[str, tuple[str, ...]], covered: bool) -> None:
    assert covers(Match(segment=("enterprise", "small")), Match(**narrower)) is covered


def test_the_first_override_that_matches_is_laid_over_the_rule() -> None:
    first = Override(match=Match(segment=("a",)), severity=Severity.INFO, params={"warn": 0.1})
    second = Override(match=Match(segment=("a", "b")), cooldown_days=3.0, params={"minimum": 5.0})
    book = overridden(first, second, params={"critical": 0.6})
    resolver = Resolver(book)
    a, b, c = (resolver.of(other(segment=name))["usage_drop"] for name in "abc")
    assert (a.severity, a.cooldown_days, a.params) == (Severity.INFO, 0, DropParams(warn=0.1, critical=0.6))
    assert (b.severity, b.cooldown_days, b.params) == (None, 3, DropParams(minimum=5.0, critical=0.6))
    assert c == book.rules["usage_drop"]
    assert resolver.of(other(segment="a"))["silence"] == book.rules["silence"]


def test_profiles_are_not_remembered_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "PROFILES_KEPT", 3)
    resolver = Resolver(overridden(Override(match=Match(segment=("s1",)), enabled=False)))
    for _ in range(2):
        enabled = [resolver.of(other(segment=f"s{number}"))["usage_drop"].enabled for number in range(8)]
        assert enabled == [number != 1 for number in range(8)]
        assert len(resolver._known) <= 3


def test_settings_by_which_a_rule_is_judged_alike_have_one_fingerprint() -> None:
    said = Resolver(overridden(Override(match=Match(segment=("a",)), params={"warn": 0.1})))
    a, b = said.of(other(segment="a")), said.of(other(segment="b"))
    advised = Resolver(playbook("usage_drop", advice=("Call them.",)))
    assert advised.of(state()).fingerprint == b.fingerprint == Resolver(playbook()).of(state()).fingerprint
    off = Resolver(playbook("silence", enabled=False)).of(state())
    assert len({one.fingerprint for one in (a, b, off)}) == 3
    assert [a.differ(rule, b.fingerprint) for rule in ("usage_drop", "silence")] == [True, False]
    assert [off.differ(rule, b.fingerprint) for rule in ("usage_drop", "silence")] == [False, True]
    assert b.differ("silence", "")


def fallen(block: Block, segment: str, number: int, window: float) -> Row:
    """400 uses a day for eight weeks, then so many a day for a week."""
    row = block.add(
        RelationshipState(id=f"t/{number}", tenant="t", relationship=str(number), directory=Directory(segment=segment))
    )
    today = day_of(NOW)
    entries = [Entry("use:x", "", today - ago, 400.0 if ago > 7 else window) for ago in range(1, 64)]
    block.count(row, entries, Fence(LOG, 0, number))
    return row


def test_each_row_is_held_against_its_own_thresholds() -> None:
    strict = Override(match=Match(segment=("strict",)), params={"warn": 0.05})
    short = Override(match=Match(segment=("short",)), params={"window_days": 3, "baseline_weeks": 4})
    book = overridden(strict, short, Override(match=Match(segment=("off",)), enabled=False))
    block = Block(feature_days=68)
    rows = [fallen(block, name, number, 360) for number, name in enumerate(("strict", "", "short", "off"))]
    rows.append(fallen(block, "short", 9, 100))
    found = looked(usage_drop, block.view(rows, [NOW] * 5), book)
    assert found.fires.tolist() == [True, False, False, False, True]
    assert found.numbers["days"].tolist()[0::4] == [7, 3]
    assert found.numbers["seen"].tolist()[0::4] == [7 * 360, 3 * 100]
    assert Resolver(book).of_rows(rows).enabled("usage_drop").tolist() == [True, True, True, False, True]
    alone = looked(usage_drop, block.view([rows[4]], [NOW]), book)
    assert {name: column[4] for name, column in found.numbers.items()} == {
        name: column[0] for name, column in alone.numbers.items()
    }


def test_series_reach_as_far_back_as_any_override_looks() -> None:
    assert Terms(playbook()).feature_days == days_needed(7, 8) + SLACK_DAYS
    longer = Override(match=Match(tier=("gold",)), params={"baseline_weeks": 20})
    terms = Terms(overridden(longer))
    assert terms.feature_days == days_needed(7, 20) + SLACK_DAYS
    assert terms.block(capacity=2).columns.feature_days == terms.feature_days
    assert np.array_equal(terms.block().columns.due, np.zeros(64))
    assert day_of(NOW) * DAY == NOW
