"""A rule, an event rule and a factor are added to a copy of the code as docs/extending.md says, and by nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from services.api.shown import relationship_out
from services.api.web.theme import rule_words
from shared.domain.contract.events import DAY, HOUR
from shared.domain.relationship.state import RelationshipState
from shared.domain.rules.table import RULES
from tests.deploy.extending import ROOT, Copy, blocks, last_entry
from tests.domain.builders import ID, Desk, at

RULES_AT = "shared/domain/rules"
TABLE, FACTORS = f"{RULES_AT}/table.py", "shared/domain/scores/factors.py"
NOON = at("2026-06-01T12:00:00Z")
MOST_FILES, MOST_LINES = 2, 40


def with_rule(copy: Copy) -> dict[str, int]:
    """Add the rule; the lines of each file."""
    rule, imported, entry, _, event_rule = blocks("A rule")
    copy.write(f"{RULES_AT}/seats.py", rule)
    copy.insert(TABLE, "from shared.domain.rules.surveys", imported)
    copy.insert(TABLE, ")\n\nRULES:", last_entry(entry))
    took = dict(copy.added)
    copy.write(f"{RULES_AT}/disputes.py", event_rule)
    copy.insert(TABLE, "from shared.domain.rules.money", "from shared.domain.rules.disputes import dispute_open\n")
    copy.insert(TABLE, ")\n\nRULES:", "    dispute_open,\n")
    return took


def with_test(copy: Copy) -> None:
    """Add the rule's test, and run it."""
    copy.write("tests/domain/test_seats.py", blocks("A rule")[3])
    ran = copy.run("-m", "pytest", "-p", "no:cacheprovider", "-o", "addopts=", "-q", "tests/domain/test_seats.py")
    assert "1 passed" in ran
    copy.run("-m", "ruff", "check", "tests/domain/test_seats.py")
    copy.run("-m", "ruff", "format", "--check", "tests/domain/test_seats.py")


def with_factor(copy: Copy) -> set[str]:
    """Add the factor; the files that took."""
    before = dict(copy.added)
    function, entry = blocks("A factor")
    copy.insert(FACTORS, "_ALL: tuple[Factor, ...] = (", f"{function}\n\n")
    copy.insert(FACTORS, ")\n\nFACTORS:", last_entry(entry))
    return {name for name, lines in copy.added.items() if before.get(name) != lines}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What the copy stores of a relationship that has the flag, after all that must hold there was tested there."""
    copy = Copy.at(tmp_path_factory.mktemp("copy"))
    took = with_rule(copy)
    assert len(took) <= MOST_FILES
    assert sum(took.values()) <= MOST_LINES
    assert with_factor(copy) == {FACTORS}
    copy.run("docs/schema/write.py")
    with_test(copy)
    shutil.copy(Path(__file__).with_name("extended.py"), copy.root / "tests")
    copy.run("-m", "pytest", "-p", "no:cacheprovider", "-o", "addopts=", "-q", "tests/extended.py")
    copy.run("-m", "ruff", "check", "shared/domain")
    copy.run("-m", "ruff", "format", "--check", "shared/domain")
    return (copy.root / "flagged.json").read_bytes()


@pytest.fixture
def flagged(stored: bytes) -> RelationshipState:
    return msgspec.json.decode(stored, type=RelationshipState)


def test_what_the_page_says_is_all_it_takes(flagged: RelationshipState) -> None:
    assert set(flagged.flags) == {"seats_nearly_full"}
    assert flagged.due["seats_nearly_full"] == NOON + 12 * HOUR


def test_without_the_rule_its_flag_stands_on_and_nothing_stops(flagged: RelationshipState) -> None:
    assert "seats_nearly_full" not in RULES
    desk = Desk()
    desk.block.evict(desk.row)
    desk.block.add(flagged)
    desk.position = flagged.position
    flag = flagged.flags["seats_nearly_full"]
    desk.say("usage.login", NOON + 2 * HOUR, person="p1", id="new")
    desk.say("survey.answered", NOON + 2 * HOUR, id="nps", instrument="nps", score=0, person="p1")
    desk.clock(NOON + 40 * DAY)
    assert desk.row.state.id == ID
    assert desk.flags == {"seats_nearly_full", "nps_detractor/p1"}
    assert desk.state.flags["seats_nearly_full"] == flag
    shown = relationship_out(desk.shown(), {})
    assert [one.reason for one in shown.flags if one.rule == "seats_nearly_full"] == [flag.reason]
    assert rule_words("seats_nearly_full") == "Seats nearly full"
    assert "punctuality" not in shown.scores.rv.factors
    assert shown.scores.rv.index is not None


def test_scores_of_other_factors_are_shown_without_them(flagged: RelationshipState) -> None:
    scores = relationship_out(flagged, {}).scores
    assert (scores.ri.factors, scores.rv.factors, scores.rv.confidence) == ({}, {}, None)
    assert scores.ri.index is not None


def test_the_page_names_the_files() -> None:
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    named = [page.index(f"`{name}`") for name in (f"{RULES_AT}/seats.py", TABLE, f"{RULES_AT}/disputes.py", FACTORS)]
    assert named == sorted(named)
    assert page.index("## A rule\n") < page.index("## A factor\n") < page.index("## An event type\n")
