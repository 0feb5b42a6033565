"""When a delivery is tried again: eight attempts over a little more than a day (Standard Webhooks)."""

from __future__ import annotations

from shared.domain.contract.events import HOUR, MINUTE, SECOND, Millis

# Waiting before attempt 1, 2, … 8, counted from the attempt before.
DELAYS: tuple[Millis, ...] = (0, 5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR)
ATTEMPTS = len(DELAYS)
TIMEOUT = 15 * SECOND  # of one attempt

# A worker that claims a delivery has it to itself for so long; if it dies meanwhile, another takes over after that.
LEASE = 2 * TIMEOUT


def next_attempt(attempts: int, at: Millis) -> Millis | None:
    """When to try again after `attempts` failed ones, the last of them at `at`; None: never again."""
    return at + DELAYS[attempts] if attempts < ATTEMPTS else None
