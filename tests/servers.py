"""Servers for tests, each on a free loopback port and gone at the end: the embedded ones, and real Apache Kafka.

With RAPPORT_TEST_KAFKA or RAPPORT_TEST_MONGO set, the servers named there are used instead (CI has them as service
containers). Fixtures, all of which skip nothing but real Kafka on a machine without Java and Maven:

    tansu_bootstrap   the embedded broker, shared by the session          fresh_tansu      one of the test's own
    kafka_bootstrap   real Apache Kafka, shared by the session
    mongo_url         a MongoDB-protocol server, shared by the session    fresh_mongo_url  an empty one, the test's own
    database          a database name of the test's own (NX-27017 knows one database a file: with `mongo_url` it
                      therefore separates nothing there)

Our topics have fixed names: on a shared broker a test begins with `await reset_topics(bootstrap, partitions)`.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from shared.embedded import broker, mongo, real_kafka
from shared.embedded.ports import LOOPBACK, free_port
from shared.embedded.process import Child, Launch
from shared.stream import admin

Result = TypeVar("Result")
TAIL = 50  # lines of a server's log that a failure shows


async def reset_topics(bootstrap: str, partitions: int) -> None:
    """Empty topics of ours with this partition count of `rapport.interactions`; others are left alone."""
    present = await admin.partition_counts(bootstrap)
    ours = [name for name in admin.ALL if name in present]
    if ours:
        await admin.delete_topics(bootstrap, ours)
    await admin.ensure_topics(bootstrap, partitions)


class _Loop:
    """An event loop on a thread of its own, so that session-wide servers outlive the loops of single tests."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="test servers", daemon=True)
        self.thread.start()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture(scope="session")
def server_loop() -> Iterator[_Loop]:
    loop = _Loop()
    yield loop
    loop.close()


@contextmanager
def serving(loop: _Loop, launch: Launch) -> Iterator[Child]:
    """A server from its readiness to the end of the block."""
    lines: list[str] = []
    child = loop.run(Child.start(launch, lambda name, line: lines.append(line)))
    try:
        try:
            loop.run(child.ready())
        except Exception as error:
            error.add_note("\n".join(lines[-TAIL:]))
            raise
        yield child
    finally:
        loop.run(child.stop())


@pytest.fixture(scope="session")
def tansu_bootstrap(server_loop: _Loop) -> Iterator[str]:
    port = free_port()
    with serving(server_loop, broker.launch(port)):
        yield f"{LOOPBACK}:{port}"


@pytest.fixture
def fresh_tansu(server_loop: _Loop) -> Iterator[str]:
    port = free_port()
    with serving(server_loop, broker.launch(port)):
        yield f"{LOOPBACK}:{port}"


def needs_real_kafka() -> None:
    """Skip what starts Apache Kafka where it cannot run; under CI, fail."""
    if missing := real_kafka.missing_tools():
        reason = f"real Apache Kafka needs Java 17 and Maven; missing on the PATH: {', '.join(missing)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def kafka_bootstrap(server_loop: _Loop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if named := os.environ.get("RAPPORT_TEST_KAFKA"):
        yield named
        return
    needs_real_kafka()
    port = free_port()
    with serving(server_loop, real_kafka.launch(port, tmp_path_factory.mktemp("kafka"), brief=True)):
        yield f"{LOOPBACK}:{port}"


@pytest.fixture(scope="session")
def mongo_url(server_loop: _Loop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from _mongo(server_loop, tmp_path_factory.mktemp("mongo"))


@pytest.fixture
def fresh_mongo_url(server_loop: _Loop, tmp_path: Path) -> Iterator[str]:
    yield from _mongo(server_loop, tmp_path / "mongo")


def _mongo(loop: _Loop, directory: Path) -> Iterator[str]:
    if named := os.environ.get("RAPPORT_TEST_MONGO"):
        yield named
        return
    port = free_port()
    with serving(loop, mongo.launch(port, directory)):
        yield f"mongodb://{LOOPBACK}:{port}"


@pytest.fixture
def database() -> str:
    return f"test_{uuid4().hex[:12]}"
