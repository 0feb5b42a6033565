"""Tiny child processes for tests of the supervision: Python one-liners with a probe on a file or a port."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from shared.embedded.process import Launch, Probe, environment

# Writes its pid, then waits for SIGTERM and says so.
OBEDIENT = """
import os, pathlib, signal, sys
here = pathlib.Path(sys.argv[1])
def stop(number, frame):
    (here / f"{sys.argv[2]}.stopped").write_text("")
    with (here / "order").open("a") as order: order.write(f"{sys.argv[2]} stopped\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
with (here / "order").open("a") as order: order.write(f"{sys.argv[2]} started\\n")
print("hello from", sys.argv[2], flush=True)
temporary = here / f"{sys.argv[2]}.new"
temporary.write_text(str(os.getpid()))
temporary.replace(here / f"{sys.argv[2]}.pid")
while True: signal.pause()
"""

STUBBORN = OBEDIENT.replace("sys.exit(0)", "return")  # notes SIGTERM, and stays

FAILING = """
import pathlib, sys
here = pathlib.Path(sys.argv[1])
with (here / f"{sys.argv[2]}.tries").open("a") as tries: tries.write(".")
print("cannot work", flush=True)
sys.exit(3)
"""

MISCONFIGURED = FAILING.replace("sys.exit(3)", "sys.exit(78)")  # EX_CONFIG

ONCE_MISCONFIGURED = (
    """
import pathlib, sys
fails = pathlib.Path(sys.argv[1]) / "fails"
if fails.exists():
    fails.unlink()
    (pathlib.Path(sys.argv[1]) / f"{sys.argv[2]}.pid").unlink()
    sys.exit(78)
"""
    + OBEDIENT
)


def child(
    name: str,
    here: Path,
    program: str = OBEDIENT,
    probe: Probe | None = None,
    endless: bool = True,
    hands_on: bool = False,
) -> Launch:
    """Ready when its pid file names a process that lives, unless a probe says otherwise."""

    async def written() -> None:
        os.kill(int(pid_file(here, name).read_text()), 0)

    argv = (sys.executable, "-S", "-E", "-c", program, str(here), name)
    return Launch(name, argv, environment(), probe or written, endless, hands_on=hands_on)


def pid_file(here: Path, name: str) -> Path:
    return here / f"{name}.pid"


def pid_of(here: Path, name: str) -> int:
    return int(pid_file(here, name).read_text())


def order(here: Path) -> list[str]:
    """Starts and orderly stops, as they happened."""
    path = here / "order"
    return path.read_text().splitlines() if path.exists() else []


def sink_to(lines: list[tuple[str, str]]) -> Callable[[str, str], None]:
    return lambda name, line: lines.append((name, line))
