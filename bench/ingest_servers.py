"""The servers of the ingest bench: real Kafka, the store, ingest and a bare app, started here and gone at the end."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from shared.clock import new_id, now_ms
from shared.domain.keys import WRITE, hash_secret
from shared.embedded import mongo, real_kafka
from shared.embedded.ports import LOOPBACK, free_port, listens
from shared.embedded.process import Launch, environment, running
from shared.embedded.stack import answers
from shared.settings import Settings
from shared.storage.open import open_store
from shared.storage.store import ApiKey
from shared.topology import establish

BARE, INGEST = "bare", "ingest"


class Target(msgspec.Struct, frozen=True):
    """A server under test: where it takes events, and its process."""

    url: str
    pid: int


@asynccontextmanager
async def servers(key: str, partitions: int) -> AsyncIterator[tuple[str, dict[str, Target]]]:
    """Where Kafka answers, and the servers under test, gone at the end of the block."""
    ports = {name: free_port() for name in ("kafka", "mongo", BARE, INGEST)}
    kafka, store = f"{LOOPBACK}:{ports['kafka']}", f"mongodb://{LOOPBACK}:{ports['mongo']}"
    with tempfile.TemporaryDirectory(prefix="rapport-bench-") as name:
        here = Path(name)
        (here / "kafka").mkdir()
        async with (
            running(real_kafka.launch(ports["kafka"], here / "kafka"), quiet),
            running(mongo.launch(ports["mongo"], here / "mongo"), published),
        ):
            await prepare(kafka, store, key, partitions)
            ingest = ingest_launch(kafka, store, ports[INGEST], partitions)
            async with (
                running(bare_launch(ports[BARE]), published) as bare_child,
                running(ingest, published) as ingest_child,
            ):
                children = {BARE: bare_child, INGEST: ingest_child}
                yield (
                    kafka,
                    {
                        name: Target(f"http://{LOOPBACK}:{ports[name]}/v1/events", child.process.pid)
                        for name, child in children.items()
                    },
                )


async def prepare(kafka: str, mongo_url: str, key: str, partitions: int) -> None:
    """Topics, and a write key."""
    store = open_store(Settings(mongo=mongo_url))
    await store.prepare()
    await establish(kafka, store, partitions, new_id)
    _, _, id, secret = key.split("_", 3)
    await store.add_key(ApiKey(id, "bench", WRITE, hash_secret(secret), "bench", now_ms()))
    await store.close()


def ingest_launch(kafka: str, mongo_url: str, port: int, partitions: int) -> Launch:
    env = environment(
        RAPPORT_KAFKA=kafka,
        RAPPORT_MONGO=mongo_url,
        RAPPORT_INGEST_PORT=str(port),
        RAPPORT_PARTITIONS=str(partitions),
        RAPPORT_LOG_FORMAT="console",
    )
    argv = (sys.executable, "-m", "services.ingest")
    return Launch("ingest", argv, env, answers(f"http://{LOOPBACK}:{port}/readyz"))


def bare_launch(port: int) -> Launch:
    async def probe() -> None:
        await listens(port)

    return Launch("bare", (sys.executable, "-m", "bench.bare", str(port)), environment(), probe)


def published(name: str, line: str) -> None:
    """What a child says goes to standard error."""
    print(f"{name}: {line}", file=sys.stderr)


def quiet(name: str, line: str) -> None:
    """Kafka tells of every partition; only what went wrong is shown."""
    if " ERROR " in line or " FATAL " in line:
        published(name, line)
