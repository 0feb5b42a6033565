"""The embedded MongoDB-protocol server: NX-27017, on one SQLite file that survives kill -9."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from shared.embedded.ports import LOOPBACK, listens
from shared.embedded.process import Launch, environment

# The package is not runnable with -m. It logs each ping, and its library warns of each query that it answers the
# slower of two ways.
PROGRAM = """
import logging
from nx_27017.nx_27017 import main
logging.getLogger("nx_27017").setLevel(logging.WARNING)
logging.getLogger("neosqlite").setLevel(logging.ERROR)
main()
"""


def launch(port: int, data: Path) -> Launch:
    """The server on this loopback port with its database in directory `data`, which is made when it is missing."""
    data.mkdir(parents=True, exist_ok=True)
    pid_file = data / "mongo.pid"
    # Left behind by kill -9, it names a process that may since be another's, and the server then refuses to start.
    # Who else might be using the database is settled by the lock on the data directory.
    pid_file.unlink(missing_ok=True)
    argv = (sys.executable, "-c", PROGRAM, "--db", str(data / "mongo.db"))

    async def probe() -> None:
        await listens(port)

    return Launch(
        name="mongo",
        # Its log comes through standard error; a second copy in a file would only grow.
        argv=(*argv, "--host", LOOPBACK, "--port", str(port), "--pid-file", str(pid_file), "--log-file", os.devnull),
        env=environment(),
        probe=probe,
        # On SIGTERM it fails in the middle of its loop, with a stack trace for every connection. Its database is made
        # to survive this one (SQLite's write-ahead log), and whoever writes to it has been stopped before.
        stop_signal=signal.SIGKILL,
    )
