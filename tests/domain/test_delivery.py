"""The schedule of attempts."""

from __future__ import annotations

from shared.domain.alerts.delivery import ATTEMPTS, LEASE, TIMEOUT, next_attempt
from shared.domain.contract.events import HOUR, MINUTE, SECOND


def test_eight_attempts_then_never_again() -> None:
    at = 1_000_000
    waits = [next_attempt(attempts, at) for attempts in range(ATTEMPTS)]
    assert waits == [
        at,
        at + 5 * SECOND,
        at + 5 * MINUTE,
        at + 30 * MINUTE,
        at + 2 * HOUR,
        at + 5 * HOUR,
        at + 10 * HOUR,
        at + 10 * HOUR,
    ]
    assert next_attempt(8, at) is None


def test_a_claim_outlasts_the_attempt() -> None:
    assert TIMEOUT == 15 * SECOND < LEASE
