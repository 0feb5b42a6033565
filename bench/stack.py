"""A stack of the bench's own, started in a temporary directory and gone at the end; and real Kafka if asked for."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.embedded import real_kafka
from shared.embedded.ports import LOOPBACK, free_port
from shared.embedded.process import Launch, running
from tests.embedded.stack import Up, up

EMBEDDED, REAL = "embedded", "real"
BROKERS = (EMBEDDED, REAL)


@contextmanager
def bench_stack(kafka: str, **environment: str) -> Iterator[Up]:
    """A running stack on the embedded broker or on Apache Kafka. Says where its log is when the bench fails."""
    with (
        tempfile.TemporaryDirectory(prefix="rapport-bench-") as name,
        _broker(kafka, Path(name)) as arguments,
        up(Path(name), *arguments, **environment) as stack,
    ):
        try:
            stack.ready()
            yield stack
        except BaseException:
            print(stack.log[-8_000:], file=sys.stderr)
            raise
        stack.stop()


@contextmanager
def _broker(kafka: str, here: Path) -> Iterator[list[str]]:
    if kafka == EMBEDDED:
        yield []
        return
    with kafka_running(here / "kafka") as bootstrap:
        yield ["--kafka", bootstrap]


@contextmanager
def kafka_running(directory: Path) -> Iterator[str]:
    """Apache Kafka on a free loopback port with its log in `directory`; where it answers."""
    directory.mkdir()
    port = free_port()
    with launched(real_kafka.launch(port, directory)):
        yield f"{LOOPBACK}:{port}"


@contextmanager
def launched(launch: Launch) -> Iterator[None]:
    """A server that is ready, on a loop of its own, stopped at the end of the block."""
    lines: list[str] = []
    loop = asyncio.new_event_loop()
    started, stop = threading.Event(), asyncio.Event()
    failed: list[BaseException] = []

    async def run() -> None:
        try:
            async with running(launch, lambda _name, line: lines.append(line)):
                started.set()
                await stop.wait()
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            started.set()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), name=launch.name, daemon=True)
    thread.start()
    started.wait()
    if failed:
        raise RuntimeError(f"{launch.name} did not start:\n" + "\n".join(lines[-30:])) from failed[0]
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
