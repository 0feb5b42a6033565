"""One child: its log, its readiness, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from shared.domain.errors import Unavailable
from shared.embedded.process import Child, Launch, environment, running
from tests.embedded.children import FAILING, STUBBORN, child, order, pid_of, sink_to
from tests.eventually import eventually


async def test_lines_of_both_streams_reach_the_sink_whole_under_the_childs_name() -> None:
    program = "import sys; print('to out'); print('to err', file=sys.stderr); sys.stdout.write('no newline at the end')"

    async def never() -> None:
        raise ConnectionError

    lines: list[tuple[str, str]] = []
    launch = Launch("talker", (sys.executable, "-u", "-c", program), environment(), never)
    one = await Child.start(launch, sink_to(lines))
    assert await one.exited() == 0
    await one.stop()
    assert sorted(lines) == [("talker", "no newline at the end"), ("talker", "to err"), ("talker", "to out")]


async def test_a_very_long_line_is_cut_and_nothing_after_it_is_lost() -> None:
    program = "print('x' * 3_000_000); print('after')"
    lines: list[tuple[str, str]] = []
    launch = Launch("long", (sys.executable, "-c", program), environment(), lambda: asyncio.sleep(0))
    one = await Child.start(launch, sink_to(lines))
    await one.exited()
    await one.stop()
    assert sum(line.count("x") for _, line in lines) == 3_000_000
    assert lines[-1] == ("long", "after")


async def test_ready_when_its_probe_passes_and_stopped_in_order(tmp_path: Path) -> None:
    async with running(child("a", tmp_path), sink_to([])) as one:
        assert one.running
        assert pid_of(tmp_path, "a") == one.process.pid
        assert os.getsid(one.process.pid) == one.process.pid, "Ctrl-C on our terminal must not reach it"
    assert order(tmp_path) == ["a started", "a stopped"]
    assert one.process.returncode == 0


async def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    one = await Child.start(child("a", tmp_path, STUBBORN), sink_to([]))
    await one.ready()
    await one.stop(within=2.0)
    assert order(tmp_path) == ["a started", "a stopped"]  # it was asked first
    assert one.process.returncode == -signal.SIGKILL


async def test_a_child_whose_work_is_done_before_anybody_could_ask_has_been_ready(tmp_path: Path) -> None:
    async def unanswered() -> None:
        raise OSError("nobody there")

    one = await Child.start(child("a", tmp_path, "", endless=False, probe=unanswered), sink_to([]))
    await one.ready()
    assert await one.exited() == 0
    endless = await Child.start(child("b", tmp_path, "", probe=unanswered), sink_to([]))
    with pytest.raises(Unavailable, match="b ended with status 0 before it was ready"):
        await endless.ready()
    for started in (one, endless):
        await started.stop()


async def test_a_child_that_ends_before_it_is_ready_says_how(tmp_path: Path) -> None:
    one = await Child.start(child("a", tmp_path, FAILING), sink_to([]))
    with pytest.raises(Unavailable, match="a ended with status 3 before it was ready"):
        await one.ready()
    await one.stop()


async def test_a_child_that_does_not_get_ready_in_time_says_what_its_probe_met(tmp_path: Path) -> None:
    async def refused() -> None:
        raise ConnectionError("nobody there")

    one = await Child.start(child("a", tmp_path, probe=refused), sink_to([]))
    with pytest.raises(Unavailable, match=r"a is not ready after 0 s \(ConnectionError: nobody there\)"):
        await one.ready(within=0.3)
    await one.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
async def test_children_die_with_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    program = """
import asyncio, pathlib, sys
from shared.embedded.process import Child
from tests.embedded.children import child
async def main():
    await (await Child.start(child("a", pathlib.Path(sys.argv[1])), print)).ready()
    await asyncio.Future()
asyncio.run(main())
"""
    supervisor = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(tmp_path))
    pid = await eventually(lambda: (tmp_path / "a.pid").exists() and pid_of(tmp_path, "a"))
    assert _alive(pid)
    supervisor.kill()
    await supervisor.wait()
    await eventually(lambda: not _alive(pid))
    assert order(tmp_path) == ["a started"]


def _alive(pid: int) -> bool:
    """False for a process that is gone, or dead and not yet reaped by whoever inherited it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
