"""What a state shows."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.columns.block import Block
from shared.domain.contract.events import DAY, HOUR
from shared.domain.engine.display import FEATURE_DAYS, refresh
from shared.domain.relationship.flags import FlagChange
from shared.domain.relationship.state import RelationshipState, Windows
from tests.domain.builders import Desk, at
from tests.examples import examples

NOON = at("2026-06-01T12:00:00Z")


def test_nothing_to_show() -> None:
    refresh(Block(feature_days=68), [])


def test_windows_and_the_sparkline() -> None:
    desk = Desk()
    for ago in (0, 6, 7, 29, 30, 89, 90, 364, 365):
        desk.say("usage.login", NOON, time=NOON - ago * DAY, person=f"person {ago}")
    desk.say("message.received", NOON, time=NOON - DAY, person="ana")
    desk.say("message.sent", NOON, time=NOON - DAY)
    desk.say("meeting.held", NOON, time=NOON - 40 * DAY, people=["ana"])
    state = desk.shown()
    assert state.windows == Windows(
        usage=(2, 4, 6, 8), inbound=(1, 1, 2, 2), outbound=(1, 1, 2, 2), people=(3, 5, 7, 9)
    )
    assert len(state.spark) == 30
    assert state.spark[-1] == 1  # today is the last
    assert state.spark[-2] == 2
    assert state.spark[0] == 1  # 29 days ago
    assert sum(state.spark) == 6


def test_features_now_and_usual() -> None:
    desk = Desk()
    for ago in range(64):
        for feature, quantity in (("export", 10 if ago > 7 else 4), ("reports", 1)):
            desk.say("usage.feature_used", NOON, time=NOON - ago * DAY, feature=feature, quantity=quantity)
    # seen: 4 today, 6 × 4, and half of the 4 a week ago; usual: 10 × (½ + 6 + ½)
    assert desk.features() == {"export": (30, 70), "reports": (7.5, 7)}


def test_a_feature_without_a_baseline() -> None:
    desk = Desk()
    desk.say("usage.feature_used", NOON, feature="export", quantity=3)
    assert desk.features() == {"export": (3, 0)}


def test_a_use_that_comes_early_is_no_use_of_long_ago() -> None:
    desk = Desk()
    for ago in range(FEATURE_DAYS):
        desk.say("usage.feature_used", NOON, time=NOON - ago * DAY, feature="export")
    before = desk.features()
    assert before == {"export": (7.5, 7)}
    desk.say("usage.feature_used", NOON, time=NOON + DAY, feature="export", quantity=1_000)
    assert desk.features() == before


Told = tuple[int, int, str, int]
TYPES = (
    "usage.feature_used",
    "usage.daily_total",
    "message.received",
    "meeting.held",
    "survey.answered",
    "event.retracted",
)
steps = st.lists(
    st.tuples(st.integers(0, 30 * 24), st.integers(0, 500), st.sampled_from(TYPES), st.integers(0, 5)), max_size=20
)


def tell(desk: Desk, now: int, late: int, type: str, number: int) -> None:
    data = {
        "usage.feature_used": {"feature": f"f{number % 3}", "person": f"p{number}", "quantity": 0.1 * number},
        "usage.daily_total": {"feature": f"f{number % 3}", "day": "2026-05-20", "quantity": number},
        "survey.answered": {"instrument": "nps", "score": number},
        "event.retracted": {"about": f"m{number}"},
    }.get(type, {"person": f"p{number}", "id": f"m{number}"})
    desk.say(type, now, time=now - late * DAY, **data)  # type: ignore[arg-type]


@settings(max_examples=examples(20), deadline=None)
@given(steps, st.sets(st.integers(0, 19)))
def test_a_row_made_again_at_any_time_shows_the_same(published: list[Told], reloads: set[int]) -> None:
    """Evicted and loaded again between any two events, against the row that stayed in memory."""
    stays, comes, now = Desk(), Desk(), NOON
    seen: list[tuple[bytes, dict[str, tuple[float, float]], tuple[FlagChange, ...]]] = []
    for desk in (stays, comes):
        now = NOON
        for at_step, (hours, late, type, number) in enumerate(published):
            now += hours * HOUR
            tell(desk, now, late, type, number)
            desk.store()
            if desk is comes and at_step in reloads:
                desk.reload()
        desk.clock(now + 3 * DAY)
        seen.append((msgspec.json.encode(desk.shown(), order="deterministic"), desk.features(), desk.changes))
    assert seen[0] == seen[1]


def test_windows_are_the_same_whoever_is_stored_with_them() -> None:
    """Of another day, say: sums of the same fractions in another order are the same number."""
    seen = []
    for days in (0, 1):
        desk = Desk()
        other = desk.block.add(RelationshipState(id="acme/b", tenant="acme", relationship="b", clock=NOON + days * DAY))
        for ago in range(60):
            desk.say("usage.login", NOON, time=NOON - ago * DAY, quantity=0.1 * (ago % 7) + 0.003)
        refresh(desk.block, [desk.row, other])
        seen.append(desk.state.windows)
    assert seen[0] == seen[1]
