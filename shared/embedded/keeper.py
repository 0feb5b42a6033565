"""Keeps one child process running: restarts it with exponential back-off until told to stop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import msgspec

from shared.domain.errors import Misconfigured, Unavailable
from shared.embedded.process import READY_WITHIN, STOP_WITHIN, Child, Launch, LineSink

Say = Callable[[str], None]


class Patience(msgspec.Struct, frozen=True):
    """Seconds: first and longest pause before a restart, a run that counts as healthy, readiness, stopping."""

    first_pause: float = 0.5
    longest_pause: float = 30.0
    healthy_after: float = 30.0
    ready_within: float = READY_WITHIN
    stop_within: float = STOP_WITHIN

    def next_pause(self, pause: float) -> float:
        """The pause after this one."""
        return min(2 * pause, self.longest_pause)


class Keeper:
    """`run` it as a task, wait for `ready`, cancel the task: in between the child is restarted whenever it ends."""

    def __init__(
        self, launch: Launch, sink: LineSink, say: Say, patience: Patience, *, has_been_ready: bool = False
    ) -> None:
        """`has_been_ready`: under another keeper, before."""
        self.launch = launch
        self.ready = asyncio.Event()
        self.restarts = 0
        self.pid = 0
        self.has_been_ready = has_been_ready
        self._sink = sink
        self._say = say
        self._patience = patience
        self.stop_within = patience.stop_within

    async def run(self) -> None:
        """Runs until cancelled, or a child that may end has done so. Raises what is no fault of the child, and
        Misconfigured where it ends saying that it cannot run, before it ever has."""
        pause = self._patience.first_pause
        clock = asyncio.get_running_loop().time
        while True:
            started = clock()
            reason = await self._life()
            if reason is None:
                return
            if clock() - started >= self._patience.healthy_after:
                pause = self._patience.first_pause
            self._say(f"{self.launch.name} {reason}; starting it again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = self._patience.next_pause(pause)
            self.restarts += 1

    async def _life(self) -> str | None:
        """One life of the child, from start to end; the words for how it ended, None if it has done its work."""
        child = await Child.start(self.launch, self._sink)
        self.pid = child.process.pid
        try:
            await child.ready(self._patience.ready_within)
            self.has_been_ready = True
            self.ready.set()
            status = await child.exited()
            if status == 0 and not self.launch.endless:
                return None
            return f"ended with {exit_words(status)}"
        except Unavailable as error:
            if child.process.returncode == os.EX_CONFIG and not self.has_been_ready:
                raise Misconfigured(f"{self.launch.name} cannot run like this: its last line says why.") from None
            return f"did not start: {error}"
        finally:
            self.ready.clear()
            if not await child.stop(self.stop_within):
                self._say(f"{self.launch.name} did not stop within {self.stop_within:.3g} s and was killed")


def exit_words(status: int) -> str:
    """`status 1` or `signal 9`, as a process's end reads."""
    return f"signal {-status}" if status < 0 else f"status {status}"
