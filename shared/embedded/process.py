"""One child process: started in a session of its own, read line by line, known to be ready, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec

from shared.domain.errors import Unavailable

READY_WITHIN = 120.0  # seconds; a first start right after installing, on a busy machine with a slow disk
STOP_WITHIN = (
    15.0  # seconds until SIGKILL: scoring may read on for 4, flush for 6 and leave its group; then alerts stop
)
LINE_LIMIT = 1 << 20  # bytes; a longer line of a child's log is cut into pieces

Probe = Callable[[], Awaitable[None]]
PROBE_FAILS = (OSError, TimeoutError, Unavailable)


class LineSink(Protocol):
    """Where a child's log lines go."""

    def __call__(self, name: str, line: str) -> None: ...


class Launch(msgspec.Struct, frozen=True):
    """How to start a child: its name, argument vector, whole environment, and a probe that raises until it is ready."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    probe: Probe
    endless: bool = True  # False: ending with status 0 means that its work is done
    stop_signal: signal.Signals = signal.SIGTERM
    hands_on: bool = False  # those after it are told to stop when it has, so that they take what it leaves


def dies_with_parent() -> Callable[[], None] | None:
    """What a child runs before exec, so that Linux ends it when the supervisor is gone, even by SIGKILL."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork: the child must not load anything
    pr_set_pdeathsig = 1

    def arrange() -> None:
        prctl(pr_set_pdeathsig, signal.SIGKILL)

    return arrange


def environment(**extra: str) -> dict[str, str]:
    """This process's environment with additions: what a child that is ours gets."""
    return {**os.environ, "PYTHONUNBUFFERED": "1", **extra}


class Child:
    """A running child process. Make one with `start`; always `stop` it."""

    def __init__(self, launch: Launch, process: asyncio.subprocess.Process, sink: LineSink) -> None:
        self.launch = launch
        self.process = process
        self._pump = asyncio.create_task(_pump(process, launch.name, sink))

    @classmethod
    async def start(cls, launch: Launch, sink: LineSink) -> Child:
        """Raises FileNotFoundError or PermissionError where the program cannot be run."""
        process = await asyncio.create_subprocess_exec(
            *launch.argv,
            env=dict(launch.env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # A session of its own: Ctrl-C reaches the supervisor alone, which then stops the rest in order.
            start_new_session=True,
            preexec_fn=dies_with_parent(),
            limit=LINE_LIMIT,
        )
        return cls(launch, process, sink)

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    async def exited(self) -> int:
        """Wait for its end; the exit status (negative: the signal)."""
        return await self.process.wait()

    async def ready(self, within: float = READY_WITHIN) -> None:
        """Wait until the probe passes, or the child has done its work. Unavailable if it ends first, or time is up."""
        reason = "was not asked"
        try:
            async with asyncio.timeout(within):
                while self.running:
                    try:
                        await self.launch.probe()
                        return
                    except PROBE_FAILS as error:
                        reason = f"{type(error).__name__}: {error}"
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise Unavailable(f"{self.launch.name} is not ready after {within:.0f} s ({reason})") from None
        if self.launch.endless or self.process.returncode != 0:
            raise Unavailable(f"{self.launch.name} ended with status {self.process.returncode} before it was ready")

    async def stop(self, within: float = STOP_WITHIN) -> bool:
        """Its stop signal, then SIGKILL to its whole process group when it takes longer than `within` seconds.

        Whether it stopped by itself.
        """
        self._signal(self.launch.stop_signal)
        orderly = True
        try:
            async with asyncio.timeout(within):
                await self.process.wait()
        except TimeoutError:
            orderly = False
            self._signal(signal.SIGKILL)
            await self.process.wait()
        self._signal(signal.SIGKILL)  # whatever it left behind in its group
        with contextlib.suppress(TimeoutError):  # a descendant in a session of its own may hold the pipe
            async with asyncio.timeout(1.0):
                await self._pump
        return orderly

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


async def _pump(process: asyncio.subprocess.Process, name: str, sink: LineSink) -> None:
    assert process.stdout is not None
    while True:
        try:
            line = await process.stdout.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            line = end.partial
        except asyncio.LimitOverrunError as long:
            line = await process.stdout.readexactly(long.consumed)
        if not line:
            return
        sink(name, line.decode(errors="replace").rstrip())


@asynccontextmanager
async def running(launch: Launch, sink: LineSink, within: float = READY_WITHIN) -> AsyncIterator[Child]:
    """A child that is ready, stopped at the end of the block."""
    child = await Child.start(launch, sink)
    try:
        await child.ready(within)
        yield child
    finally:
        await child.stop()
