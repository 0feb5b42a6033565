"""Use that falls. Eight weeks of history before the seven days of the window; evaluated at midnight."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.columns.block import Block
from shared.domain.columns.row import USAGE, Entry, Row
from shared.domain.contract.days import day_name, day_of
from shared.domain.contract.events import DAY, HOUR
from shared.domain.playbooks.model import Playbook
from shared.domain.relationship.fence import Fence
from shared.domain.relationship.flags import Counter
from shared.domain.rules.baseline import levels
from shared.domain.rules.declaration import NONE, StateRule
from shared.domain.rules.evidence import daily_uses
from shared.domain.rules.usage import feature_decline, usage_drop
from tests.domain.builders import LOG, Looked, at, judged, looked, playbook, state
from tests.examples import examples

NOW = at("2026-06-01T00:00:00Z")
TODAY = day_of(NOW)
HISTORY = range(8, 64)  # days ago: the baseline
WINDOW = range(1, 8)


def used(**features: tuple[float, float]) -> tuple[Block, Row]:
    """A row whose features were used so often on each day of the history, and of the window."""
    block = Block(feature_days=68, capacity=1)
    row = block.add(state())
    entries = [
        Entry(f"use:{name}", person, TODAY - ago, count / 2)
        for name, counts in features.items()
        for days, count in zip((HISTORY, WINDOW), counts, strict=True)
        for ago in days
        for person in ("ana", "bob")
    ]
    block.count(row, entries, Fence(LOG, 0, 0))
    return block, row


def total(history: float, window: float, book: Playbook | None = None, now: int = NOW) -> Looked:
    block, row = used(export=(history, window))
    return looked(usage_drop, block.view([row], [now]), book)


@pytest.mark.parametrize(
    ("window", "fires", "stays", "critical"),
    [
        (10, False, False, False),
        (8.6, False, False, False),  # down 14 %
        (8.4, False, True, False),  # down 16 %: a flag that stands stays until 15 % are missing
        (8.1, False, True, False),
        (8, True, True, False),  # down 20 % exactly
        (6, True, True, False),
        (5, True, True, True),  # down 50 % exactly
        (0, True, True, True),
    ],
)
def test_a_drop_by_hand(window: float, fires: bool, stays: bool, critical: bool) -> None:
    # 100 a day: 700 are usual; deviation = sqrt(700 × (1 + 1/8)) = 28.06; at 560 z = −140 / 28.06 = −4.99 < −2.33
    result = total(100, 10 * window)
    assert (result.fires[0], result.stays[0], result.critical[0]) == (fires, stays, critical)
    block, row = used(export=(100, 10 * window))
    found = levels(block.view([row], [NOW]).series(USAGE), np.zeros(1), 7, 8)
    assert (found.seen[0], found.expected[0], found.weeks[0]) == (pytest.approx(70 * window), 700, 8)
    if stays:
        said = {name: result.numbers[name][0] for name in ("seen", "expected", "weeks", "days")}
        assert said == {"seen": pytest.approx(70 * window), "expected": 700, "weeks": 8, "days": 7}


def test_chance_is_not_a_drop() -> None:
    # 5 a day: 35 are usual, deviation = sqrt(35 × 9/8) = 6.275. 21 (down 40 %): z = −14 / 6.275 = −2.23: by chance.
    # 17.5 (down 50 %): z = −2.79
    assert not total(5, 3).fires[0]
    assert total(5, 2.5).fires[0]
    assert total(5, 3, playbook("usage_drop", params={"significance": 0.05})).fires[0]


def test_little_use_is_not_looked_at() -> None:
    # 2.75 a day: 19.25 are usual, 20 are needed
    assert not total(2.75, 0).fires[0]
    assert not total(2.75, 0).stays[0]
    assert total(2.75, 0, playbook("usage_drop", params={"minimum": 19})).fires[0]


def test_without_history_there_is_no_drop() -> None:
    assert not total(0, 5).fires[0]
    assert not total(0, 5).stays[0]


def test_use_that_has_fallen_is_looked_at_every_quarter_of_a_day() -> None:
    for now, due in ((NOW, NOW + 6 * HOUR), (NOW + 7 * HOUR, NOW + 12 * HOUR), (NOW + DAY - 1, NOW + DAY)):
        assert total(10, 5, now=now).due.tolist() == [due]


def test_use_that_cannot_have_fallen_before_midnight_is_looked_at_then() -> None:
    for now in (NOW, NOW + 7 * HOUR, NOW + DAY - 1):
        # From 70 in the window to 60 at the end of today, where 70 are usual: above 85 %
        assert total(10, 10, now=now).due.tolist() == [NOW + DAY]
        assert total(2, 0, now=now).due.tolist() == [NOW + DAY]  # 14 are usual, and 20 are needed
    assert total(0, 0).due.tolist() == [0]


def test_use_that_will_have_fallen_before_midnight_is_looked_at_every_quarter_of_a_day() -> None:
    # Seen goes from 64 to 54.9 where 70 are usual: below 85 % (59.5) soon after noon
    result = total(10, 9.15)
    assert (result.stays[0], result.due.tolist()) == (False, [NOW + 6 * HOUR])
    assert total(10, 9.15, now=NOW + 18 * HOUR).stays[0]


@settings(max_examples=examples(100), deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=64, max_size=64),
    st.floats(0, 1),
    st.tuples(st.integers(0, DAY - 1), st.integers(0, DAY - 1)).map(sorted),
    st.sampled_from([usage_drop, feature_decline]),
)
def test_no_moment_at_which_a_flag_may_stand_is_passed_over(
    days: list[int], lately: float, since: list[int], rule: StateRule
) -> None:
    """Whatever has been used: if a rule has anything to say later in the day, a look was due by then."""
    block = Block(feature_days=68, capacity=1)
    row = block.add(state())
    counts = [round(count * (lately if ago < 8 else 1.0), 1) for ago, count in enumerate(days)]
    uses = [Entry(f"use:{name}", "", TODAY - ago, count) for ago, count in enumerate(counts) for name in ("a", "b")]
    block.count(row, [one for one in uses if one.metric == "use:b" or one.day < TODAY - 3], Fence(LOG, 0, 0))
    now, later = (NOW + passed for passed in since)
    due = judged(rule, block.view([row], [now])).due[0]
    assert due <= NOW + DAY
    if len(judged(rule, block.view([row], [later])).position):
        assert due == NOW + ((now - NOW) // (6 * HOUR) + 1) * 6 * HOUR


def declines(book: Playbook | None = None, now: int = NOW, **features: tuple[float, float]) -> dict[str, bool]:
    """Features that hold, and whether they fire."""
    block, row = used(**features)
    result = judged(feature_decline, block.view([row], [now]), book)
    assert result.position.tolist() == [0] * len(result.subject)
    assert result.due.tolist() in ([NOW + 6 * HOUR], [NOW + DAY])
    return dict(zip(result.subject, (result.severity > NONE).tolist(), strict=True))


def test_a_feature_that_falls_by_itself() -> None:
    assert declines(export=(20, 5), reports=(20, 20)) == {"export": True}
    assert declines(export=(40, 32), reports=(20, 20)) == {"export": True}  # down 20 % exactly, z = −56 / 17.7
    assert declines(export=(20, 16.5), reports=(20, 20)) == {"export": False}  # down 17.5 %: one that stands stays
    assert declines(export=(20, 17.5), reports=(20, 20)) == {}  # down 12.5 %


def test_a_feature_that_falls_with_everything_else_is_a_general_drop() -> None:
    assert declines(export=(20, 5), reports=(20, 5)) == {}
    # 0.25 < 0.8 × 0.5 = 0.4
    assert declines(export=(20, 5), reports=(20, 10)) == {"export": True}
    # 0.45 > 0.85 × 0.5 = 0.425, and the other way round: 0.5 > 0.85 × 0.45
    assert declines(export=(20, 9), reports=(20, 10)) == {}
    assert declines(export=(20, 8.4), reports=(20, 10)) == {"export": False}  # 0.42: it stays, and is not raised
    assert declines(export=(20, 0), reports=(20, 0)) == {}


def test_the_only_feature_is_all_there_is() -> None:
    assert declines(export=(20, 0)) == {}


def test_a_feature_they_had_not_made_their_own() -> None:
    block, row = used(reports=(20, 20))
    burst = [Entry("use:trial", "", TODAY - ago, 400.0) for ago in (8, 20, 40)]  # 3 of 8 weeks, the first on day 40
    block.count(row, [*burst, Entry("use:trial", "", TODAY - 63, 1.0)], Fence(LOG, 0, 1))
    # 4 of the 8 weeks with any use would make it theirs: day 63 is the fourth
    view = block.view([row], [NOW])
    lenient = playbook("feature_decline", params={"significance": 0.99})
    assert judged(feature_decline, view, lenient).subject == ["trial"]
    block.count(row, [Entry("use:trial", "", TODAY - 63, 0.0)], Fence(LOG, 0, 2), absolute=True)
    # now known since day 40: 4 full weeks before the window (32 … 7 × 4 + 7 = 35 ≤ 40), used in 2 of them: half
    assert judged(feature_decline, block.view([row], [NOW]), lenient).subject == ["trial"]
    block.count(row, [Entry("use:trial", "", TODAY - 20, 0.0)], Fence(LOG, 0, 3), absolute=True)
    assert judged(feature_decline, block.view([row], [NOW]), lenient).subject == []  # used in 1 of 4


def test_rows_without_features() -> None:
    block = Block(feature_days=68, capacity=1)
    result = judged(feature_decline, block.view([block.add(state())], [NOW]))
    assert len(result.position) == len(result.subject) == 0
    assert result.due.tolist() == [0]


def test_words_and_evidence() -> None:
    block, row = used(export=(20, 5), reports=(20, 20))
    view = block.view([row], [NOW])
    numbers = {"seen": 1_035.0, "expected": 4_140.0, "days": 7.0}
    assert usage_drop.words(row, "", numbers) == ("use is down 75%: 1,035 in the last 7 days where 4,140 are usual")
    assert feature_decline.words(row, "export", numbers | {"days": 28.0}).startswith(
        "use of export is down 75%: 1,035 in the last 28 days"
    )
    export = feature_decline.evidence(view, 0, "export", {"days": 7}).counters
    assert [counter.day for counter in export] == [f"2026-05-{day}" for day in range(25, 32)]  # today is about to begin
    assert {counter.count for counter in export} == {5}
    everything = usage_drop.evidence(view, 0, "", {"days": 8}).counters
    assert everything[0] == Counter("", "2026-05-24", 40)  # the window begins with it: it is midnight
    assert everything[-1] == Counter("", "2026-05-31", 25)


@pytest.mark.parametrize(("hour", "share"), [(0, 1.0), (6, 0.75), (18, 0.25)])
def test_the_evidence_adds_up_to_what_the_words_say(hour: int, share: float) -> None:
    now = NOW + hour * HOUR
    block, row = used(export=(100, 40))
    view = block.view([row], [now])
    result = looked(usage_drop, view)
    seen = float(result.numbers["seen"][0])
    counters = usage_drop.evidence(view, 0, "", {"days": 7}).counters
    assert [one.share for one in counters] == [share, *[1.0] * (6 if hour == 0 else 7)]
    assert sum(one.count * one.share for one in counters) == seen == 6 * 40 + share * 40


def test_the_days_without_use_are_evidence_of_a_drop_too() -> None:
    block, row = used(export=(20, 0), reports=(20, 20))
    for now, days in ((NOW, range(25, 32)), (NOW + 6 * HOUR, (*range(25, 32), 32))):
        counters = feature_decline.evidence(block.view([row], [now]), 0, "export", {"days": 7}).counters
        assert [one.day for one in counters] == [day_name(day_of(NOW) - 32 + day) for day in days]
        assert {one.count for one in counters} == {0}


def test_days_before_anything_was_known_of_a_relationship_are_no_evidence() -> None:
    block = Block(feature_days=68, capacity=1)
    row = block.add(state(first_seen=NOW - 3 * DAY))
    view = block.view([row], [NOW + HOUR])
    assert [one.day for one in daily_uses(view, 0, "", 30).counters] == [f"2026-05-{day}" for day in (29, 30, 31)] + [
        "2026-06-01"
    ]
    block.count(row, [Entry("use:export", "", TODAY - 9, 5.0)], Fence(LOG, 0, 0))  # a day's total that came later
    assert [one.count for one in daily_uses(view, 0, "export", 30).counters] == [5, *[0] * 9]
    block.first_seen(row, NOW - 200 * DAY)
    assert [one.count for one in daily_uses(view, 0, "export", 30).counters] == [*[0] * 20, 5, *[0] * 9]


def test_days_that_lie_whole_in_the_window_count_in_full() -> None:
    block, row = used(export=(0, 40))
    view = block.view([row], [NOW + 6 * HOUR])
    counters = usage_drop.evidence(view, 0, "", {"days": 8}).counters
    assert [one.share for one in counters] == [1.0] * 8


def test_many_rows_are_looked_at_as_one_by_one() -> None:
    block = Block(feature_days=68, capacity=1)
    rows = []
    for number in range(3):
        row = block.add(type(state())(id=f"t/{number}", tenant="t", relationship=str(number)))
        entries = [
            Entry(f"use:{name}", "", TODAY - ago, 20.0 if ago in HISTORY else 20.0 * number / 2)
            for name in ("export", "reports")
            for ago in (*HISTORY, *WINDOW)
        ]
        block.count(row, entries, Fence(LOG, 0, number))
        rows.append(row)
    together = looked(usage_drop, block.view(rows, [NOW] * 3))
    assert together.fires.tolist() == [True, True, False]
    alone = [looked(usage_drop, block.view([row], [NOW])) for row in rows]
    assert np.array_equal(together.numbers["z"], [result.numbers["z"][0] for result in alone], equal_nan=True)
