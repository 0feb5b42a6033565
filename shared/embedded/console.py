"""Log lines of several processes on one terminal, each with its process's name, in colour where that is wanted."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import TextIO

SUPERVISOR = "rapport"
COLOURS: Mapping[str, int] = {
    SUPERVISOR: 1,  # bold
    "kafka": 90,
    "mongo": 94,
    "ingest": 32,
    "scoring": 36,
    "alerts": 33,
    "api": 35,
    "simulator": 34,
}
WIDTH = max(map(len, COLOURS))


class Console:
    """A line sink that writes to `stream`; colour only on a terminal, and not with NO_COLOR set."""

    def __init__(self, stream: TextIO, environment: Mapping[str, str] = os.environ) -> None:
        self.stream = stream
        self.colour = stream.isatty() and not environment.get("NO_COLOR")

    def __call__(self, name: str, line: str) -> None:
        put(self.stream, f"{self._prefix(name)} {line}\n")

    def say(self, text: str) -> None:
        """Lines of the supervisor's own."""
        for line in text.splitlines():
            self(SUPERVISOR, line)

    def _prefix(self, name: str) -> str:
        text = f"{name:<{WIDTH}} │"
        return f"\x1b[{COLOURS.get(name, 37)}m{text}\x1b[0m" if self.colour else text


def put(stream: TextIO, text: str) -> None:
    """Write at once. When nobody reads any more (the terminal was closed, or what a pipe led to has ended), this and
    all that follows goes nowhere; where there is no room at the moment, this alone may be lost. Whoever writes goes on,
    and can still be stopped."""
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EIO):
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
