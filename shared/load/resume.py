"""Where an interrupted load goes on: a small file per load under XDG_STATE_HOME, removed when the load is complete."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import msgspec


class Progress(msgspec.Struct, frozen=True):
    """Everything up to and including `line` was answered by ingest; with the counts until then."""

    line: int = 0
    read: int = 0
    accepted: int = 0
    rejected: int = 0


class Bookmark:
    """The progress of one load. `identity` is what makes it the same load: file, size, change time, mapping, target."""

    def __init__(self, directory: Path, identity: tuple[str, ...]) -> None:
        self._file = directory / (sha256("\0".join(identity).encode()).hexdigest()[:32] + ".json")

    def read(self) -> Progress:
        """Where to go on; the beginning if there is no bookmark or it cannot be read."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Progress)
        except (FileNotFoundError, msgspec.DecodeError):
            return Progress()

    def write(self, progress: Progress) -> None:
        """Puts the bookmark there, whole or not at all."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(progress))
        fresh.replace(self._file)

    def remove(self) -> None:
        """The load is complete, or is to begin anew."""
        self._file.unlink(missing_ok=True)


def state_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """`$XDG_STATE_HOME/rapport/load`, or the same under `~/.local/state`."""
    base = environment.get("XDG_STATE_HOME", "")
    return (Path(base) if base else Path.home() / ".local" / "state") / "rapport" / "load"
