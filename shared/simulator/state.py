"""What the simulator remembers between two starts."""

from __future__ import annotations

from pathlib import Path

import msgspec

from shared.domain.contract.events import Millis
from shared.domain.errors import Misconfigured


class State(msgspec.Struct, frozen=True):
    """The portfolio that was loaded, when its live traffic began, and until when it has been sent (0 = unknown)."""

    seed: int
    accounts: int
    live_since: Millis
    sent_until: Millis = 0


def read_state(path: Path | None) -> State | None:
    """None if there is no file yet; a file that is not the simulator's is `Misconfigured`."""
    if path is None or not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except msgspec.DecodeError as error:
        raise Misconfigured(
            f"{path} is not a state file of the simulator ({error}); remove it or name another"
        ) from error


def write_state(path: Path | None, state: State) -> None:
    """Whole or not at all."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(state))
    fresh.replace(path)
