"""What every service does around its own work: settings, logs, signals, HTTP that leaves signals alone, exit status."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn
import uvloop

from shared.domain.errors import Misconfigured, Passing, Unavailable
from shared.settings import Settings, read_settings
from shared.telemetry import configure_logging, logger

BACKLOG = 2_048  # connections that wait to be taken


def main(service: str, serve: Callable[[Settings], Awaitable[None]]) -> None:
    """Run until told to stop; whatever goes wrong ends the process with a status that is not 0, and with EX_CONFIG (78)
    where starting it again would change nothing."""
    try:
        settings = read_settings()
    except Misconfigured as error:  # how to log is a setting, too
        print(error, file=sys.stderr)
        sys.exit(os.EX_CONFIG)
    configure_logging(service, settings.log_level, settings.log_format)
    wrong: list[Exception] = []

    async def work() -> None:
        await serve(settings)

    try:
        uvloop.run(work())
    except* Misconfigured as errors:
        wrong = list(errors.exceptions)
    if wrong:  # its message says what to do: a traceback would only hide it
        logger().error("misconfigured", detail=" ".join(map(str, wrong)))
        sys.exit(1 if all(isinstance(error, Passing) for error in wrong) else os.EX_CONFIG)


def told_to_stop() -> asyncio.Event:
    """Set by SIGTERM and SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def until_told(stop: asyncio.Event, *tasks: asyncio.Task[Any]) -> None:
    """Until `stop` is set or one of the tasks ends."""
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


async def as_far_as_possible(work: Awaitable[None], stop: asyncio.Event) -> None:
    """Await the work of a consumer. Once told to stop, it may end with Unavailable: what it could not store and commit
    is read again after the next start."""
    try:
        await work
    except Unavailable as error:
        if not stop.is_set():
            raise
        logger().warning("unfinished", error=str(error), effect="read again")


@contextlib.contextmanager
def listening(host: str, port: int, variable: str) -> Iterator[socket.socket]:
    """A socket bound to the address (port 0: any free one) that the setting names; raises Passing when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise Passing(
                f"Nothing can listen on {host}:{port} ({error.strerror}): set {variable} to a port that is free (0 "
                "takes any), or stop what uses it."
            ) from error
        listener.listen(BACKLOG)
        yield listener


class Server(uvicorn.Server):
    """uvicorn without its own signal handling: it would end the process with the signal, and a service stops more."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_http(server: Server, listener: socket.socket) -> None:
    """Until the server is told to exit. Raises RuntimeError when it ends without."""
    await server.serve([listener])
    if not server.should_exit:
        raise RuntimeError("the HTTP server ended by itself")
