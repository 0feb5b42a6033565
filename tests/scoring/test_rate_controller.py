"""How much is stored and folded at once."""

from __future__ import annotations

import pytest

from services.scoring.rate_controller import FOLD_LEAST, FOLD_MOST, LEAST, MOST, SLICE_SECONDS, RateController


def at(documents_a_second: float, slices: int = 20) -> RateController:
    """What has become of the pace after full slices on such a store."""
    rate = RateController()
    for _ in range(slices):
        rate.stored(rate.documents, rate.documents / documents_a_second)
    return rate


@pytest.mark.parametrize("speed", [2_000, 5_000, 50_000])
def test_a_slice_takes_about_as_long_as_it_should(speed: float) -> None:
    assert at(speed).documents / speed == pytest.approx(SLICE_SECONDS, rel=0.01)


def test_a_slice_has_bounds() -> None:
    assert at(1).documents == LEAST
    assert at(1e9).documents == MOST
    assert RateController(1, 1).documents == 1


def test_one_odd_slice_changes_the_next_by_a_factor_of_four_at_most() -> None:
    rate = at(50_000)
    assert rate.documents == 4_000
    rate.stored(4_000, 60.0)
    assert rate.documents == 1_000
    rate.stored(1_000, 0.0)
    assert rate.documents == 2_000


def test_few_documents_tell_nothing_unless_they_took_long() -> None:
    rate = at(50_000)
    rate.stored(3, 0.01)
    assert rate.documents == 4_000
    rate.stored(3, 0.5)
    assert rate.documents == 1_000


def test_what_counts_is_folded_together_whatever_the_store() -> None:
    rate = at(1_000)
    rate.folded(1_000, 10)
    assert rate.events == FOLD_MOST


def test_of_what_is_listed_one_by_one_no_more_is_folded_than_is_written_in_three_seconds() -> None:
    rate = at(2_000)
    assert rate.entries == 6_000
    rate.folded(1_000, 1_000)
    assert rate.events == 6_000
    rate.folded(1_000, 500)
    assert rate.events == 12_000
    slow = at(10)
    slow.folded(500, 500)
    assert slow.events == pytest.approx(LEAST / SLICE_SECONDS * 3)
    slowest = RateController(1, 1)
    slowest.folded(500, 500)
    assert slowest.events == slowest.entries == FOLD_LEAST


def test_nothing_folded_tells_nothing() -> None:
    rate = at(2_000)
    rate.folded(1_000, 500)
    rate.folded(0, 0)
    assert rate.events == 12_000


def test_bounds_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="documents of a slice"):
        RateController(5, 4)
