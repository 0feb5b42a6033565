"""Positions: where an event lies in a partition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.relationship.fence import EVENTS_A_RECORD, offset_of, position_of

PLACES = st.tuples(st.integers(0, 2**46), st.integers(0, EVENTS_A_RECORD - 1))


def test_a_position_by_hand() -> None:
    assert (position_of(17, 4), position_of(0), offset_of(1_114_116)) == (1_114_116, 0, 17)


@given(PLACES, PLACES)
def test_positions_are_in_the_order_of_the_log(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (position_of(*one) < position_of(*other)) == (one < other)
    assert offset_of(position_of(*one)) == one[0]
    assert position_of(*one) < 2**63  # as the store keeps it
