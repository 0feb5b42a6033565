"""A pytest plugin that ends a run in which a test hangs, in words that say which one and where.

Whatever a test waits for has a deadline of its own. This one is for what nobody has thought of: every thread and every
task is told, the processes that were started are killed, and so is the run.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest

WATCH = pytest.StashKey[threading.Timer]()
SECONDS = "hang_seconds"  # an option of pytest's configuration
_stderr = sys.stderr  # replaced when pytest begins: while a test runs, standard error is captured


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        SECONDS, "a test that takes longer ends the run, with the stacks of all threads and tasks", default="600"
    )


def pytest_configure(config: pytest.Config) -> None:
    global _stderr
    _stderr = os.fdopen(os.dup(sys.stderr.fileno()), "w")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """With its fixtures."""
    watch = item.config.stash[WATCH] = threading.Timer(float(item.config.getini(SECONDS)), _end, [item.nodeid])
    watch.daemon = True
    watch.start()
    try:
        return (yield)
    finally:
        watch.cancel()


def pytest_enter_pdb(config: pytest.Config) -> None:
    """A person may take as long as they like."""
    config.stash[WATCH].cancel()


def _end(test: str) -> None:
    print(f"\n{test} hangs: the run ends here.", file=_stderr)
    for task in [one for one in gc.get_objects() if isinstance(one, asyncio.Task) and not one.done()]:
        task.print_stack(file=_stderr)
    _stderr.flush()
    faulthandler.dump_traceback(_stderr)
    for children in Path("/proc/self/task").glob("*/children"):  # where there is no /proc, they are left alone
        for pid in children.read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    os._exit(pytest.ExitCode.TESTS_FAILED)
