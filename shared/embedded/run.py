"""From options to a running stack: what `rapport up` calls."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.domain.errors import Misconfigured
from shared.embedded.console import Console
from shared.embedded.data import DataDirectory
from shared.embedded.keyring import own_secrets
from shared.embedded.ports import claim
from shared.embedded.stack import DATABASE, Options, Stack, serve
from shared.settings import read_settings
from shared.storage.mongo import MongoStore


def run(options: Options) -> None:
    """Runs until Ctrl-C or SIGTERM. Raises Misconfigured with what to do: a port, a setting, the directory, partition
    counts."""
    read_settings()  # the services will: better before anything is started
    data = DataDirectory(options.data)
    if options.ready_file:
        _check(options.ready_file, data)
    with data.locked(), _removed(options.ready_file):
        stack = Stack(options, data, claim(options.ports()), Console(sys.stderr))
        secrets = own_secrets(data)

        async def live() -> None:
            await serve(stack, secrets, MongoStore(stack.mongo, DATABASE))

        try:
            asyncio.run(live())
        except* Misconfigured as problems:
            raise _first(problems) from None


def _check(ready_file: Path, data: DataDirectory) -> None:
    """Raise Misconfigured where something would be lost when a ready file is removed and made anew."""
    if data.keeps(ready_file):
        raise Misconfigured(f"--ready-file {ready_file} is a file of the data directory's own: name another")
    if os.path.lexists(ready_file) and (ready_file.is_symlink() or not ready_file.is_file()):
        raise Misconfigured(f"--ready-file {ready_file} is there and no ordinary file: name another")


@contextmanager
def _removed(ready_file: Path | None) -> Iterator[None]:
    """No ready file at the beginning nor at the end: it would tell of a stack that is not there."""
    if ready_file is None:
        yield
        return
    ready_file.unlink(missing_ok=True)
    try:
        yield
    finally:
        ready_file.unlink(missing_ok=True)


def _first(problems: BaseExceptionGroup[Misconfigured]) -> Misconfigured:
    error: BaseException = problems
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Misconfigured)
    return error
