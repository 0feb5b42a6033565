"""When a member flushes."""

from __future__ import annotations

import pytest

from shared.stream.flush_policy import FlushPolicy


def policy() -> FlushPolicy:
    return FlushPolicy(0.2, 5.0, now=100.0)


def test_quiet_members_flush_once_a_second() -> None:
    assert policy().due() == 101.0


def test_what_comes_after_a_pause_is_flushed_at_once_with_what_comes_along() -> None:
    p = policy()
    p.applied(0, taken=1, remaining=0, now=100.5)
    p.applied(0, taken=1, remaining=0, now=100.51)  # the first one counts
    assert p.due() == pytest.approx(100.52)


def test_between_two_flushes_is_the_shortest_interval_at_least() -> None:
    p = policy()
    p.began(100.4)
    p.flushed(100.45)
    p.applied(0, taken=1, remaining=0, now=100.5)
    assert p.due() == pytest.approx(100.65)


def test_what_is_applied_during_a_flush_is_for_the_next_one() -> None:
    p = policy()
    p.applied(0, taken=1, remaining=0, now=100.4)
    p.began(100.5)
    p.applied(0, taken=1, remaining=0, now=100.6)
    p.flushed(101.5)
    assert p.due() == pytest.approx(101.5 + 2.0)  # twice as long as it took from begin to end, after its end
    p.began(103.5)
    p.flushed(103.6)
    assert p.due() == pytest.approx(104.6)  # nothing is left


def test_a_rest_may_be_shorter_than_what_is_gathered_of_a_backlog() -> None:
    p = FlushPolicy(0.2, 5.0, now=100.0, rest=0.5)
    p.applied(0, taken=1, remaining=0, now=100.4)
    p.began(100.5)
    p.applied(0, taken=1, remaining=0, now=100.6)
    p.flushed(101.5)
    assert p.due() == pytest.approx(101.5 + 0.5)
    p.applied(0, taken=500, remaining=500, now=101.6)
    assert p.due() == pytest.approx(101.5 + 5.0)
    with pytest.raises(ValueError, match=r"0 < 0\.2 <= 6\.0 <= 5\.0"):
        FlushPolicy(0.2, 5.0, now=100.0, rest=6.0)


def test_a_flush_that_was_not_finished_is_tried_again() -> None:
    p = policy()
    p.applied(0, taken=1, remaining=0, now=100.4)
    p.began(100.5)
    p.postponed(101.0)
    assert p.due() == pytest.approx(101.2)
    p.began(101.2)
    p.forget()
    p.postponed(101.3)
    assert p.due() == pytest.approx(102.3)


def test_a_backlog_is_worked_off_with_the_longest_interval() -> None:
    p = policy()
    p.applied(0, taken=500, remaining=500, now=100.0)
    assert p.due() == 105.0
    p.applied(0, taken=500, remaining=0, now=100.1)
    assert p.due() == pytest.approx(100.2)


def test_a_backlog_is_worked_on_for_the_longest_interval_however_long_a_flush_takes() -> None:
    p = policy()
    p.applied(0, taken=500, remaining=9_000, now=100.0)
    p.began(105.0)
    p.applied(0, taken=500, remaining=8_000, now=105.1)
    p.flushed(107.5)
    assert p.due() == 112.5


def test_what_comes_after_a_backlog_does_not_wait_for_as_long_as_that_took() -> None:
    p = policy()
    p.applied(0, taken=500, remaining=500, now=100.0)
    p.began(105.0)
    p.applied(0, taken=500, remaining=0, now=105.1)
    p.flushed(107.5)
    assert p.due() == pytest.approx(107.7)


def test_the_backlog_of_one_partition_is_not_hidden_by_another() -> None:
    p = policy()
    p.applied(0, taken=500, remaining=9_000, now=100.0)
    p.applied(1, taken=1, remaining=0, now=100.0)
    assert p.due() == 105.0


@pytest.mark.parametrize(("took", "interval"), [(0.01, 0.2), (1.0, 2.0), (60.0, 5.0)])
def test_the_interval_follows_how_long_a_flush_takes(took: float, interval: float) -> None:
    p = policy()
    p.applied(0, taken=1, remaining=0, now=100.0)
    p.began(101.0)
    p.flushed(101.0 + took)
    p.applied(0, taken=1, remaining=0, now=101.0 + took)
    assert p.due() == pytest.approx(101.0 + took + interval)


def test_a_postponed_flush_is_tried_again_after_another_interval() -> None:
    p = policy()
    p.postponed(110.0)
    assert p.due() == 111.0
    p.applied(0, taken=1, remaining=0, now=110.0)
    p.postponed(110.5)
    assert p.due() == pytest.approx(110.7)


def test_forgotten_partitions_leave_no_backlog() -> None:
    p = policy()
    p.applied(0, taken=5, remaining=9, now=100.0)
    p.forget()
    assert p.due() == 101.0


def test_an_interval_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="flush intervals"):
        FlushPolicy(1.0, 0.5, now=0.0)
