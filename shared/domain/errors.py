"""The few ways in which something can go wrong. Anything else is a defect and ends the process."""

from __future__ import annotations


class Poison(Exception):
    """This message can never be applied: to quarantine with `reason` (a slug) and `detail` (a sentence)."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Unavailable(Exception):
    """A store or broker does not answer: retry with back-off, nothing is lost by waiting."""


class Conflict(Exception):
    """Somebody else changed the document first (compare-and-set lost): read again and decide anew."""


class Misconfigured(Exception):
    """The surroundings contradict the settings; the message says what to do. Ends the process."""


class Passing(Misconfigured):
    """The same, but at another time it may be otherwise: starting again may be all that is needed."""
