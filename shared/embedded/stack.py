"""The embedded stack as a whole: from options to ports, launches, keys and the lines printed when all is ready."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec

from shared.clock import new_id, now_ms
from shared.embedded import broker, mongo
from shared.embedded.console import SUPERVISOR, Console, put
from shared.embedded.data import Addresses, DataDirectory, Running, Secrets, write_private
from shared.embedded.keyring import ensure_secrets
from shared.embedded.ports import LOOPBACK, reaches
from shared.embedded.process import Launch, Probe, environment
from shared.embedded.supervisor import Plan, Supervisor
from shared.storage.store import Store
from shared.topology import establish

DATABASE = "rapport"
SESSION_MS = 4_000  # on the embedded broker a join waits for half of it, and a take-over for one and a half
STOPPED = ("api", "ingest", "scoring", "alerts")  # in this order
DRAIN_SECONDS = 4  # what is in a log that ends with its broker should be scored before it ends
FORGETFUL = {"RAPPORT_SESSION_TIMEOUT_MS": str(SESSION_MS), "RAPPORT_DRAIN_SECONDS": str(DRAIN_SECONDS)}
DEMO_SETTINGS = {
    "RAPPORT_EVALUATION_SECONDS": "60",  # so that two minutes are enough to see state rules
    "RAPPORT_NOTICE": "Simulated data: an invented company's portfolio, with three incidents staged to become due"
    " within two minutes of the start. State rules are evaluated every minute here, every hour otherwise.",
}


class Options(msgspec.Struct, frozen=True):
    """What `rapport up --embedded` was asked for. Ports of 0 mean any; `kafka`/`mongo` name servers that exist."""

    data: Path
    partitions: int = 8
    kafka: str = ""
    mongo: str = ""
    api_port: int = 8080
    ingest_port: int = 8081
    kafka_port: int = 9092
    mongo_port: int = 27017
    scoring_metrics_port: int = 9101
    alerts_metrics_port: int = 9102
    ready_file: Path | None = None
    demo: bool = False

    def ports(self) -> dict[str, int]:
        """Wanted ports by option."""
        wanted = {
            "api-port": self.api_port,
            "ingest-port": self.ingest_port,
            "scoring-metrics-port": self.scoring_metrics_port,
            "alerts-metrics-port": self.alerts_metrics_port,
        }
        if not self.kafka:
            wanted["kafka-port"] = self.kafka_port
        if not self.mongo:
            wanted["mongo-port"] = self.mongo_port
        return wanted


class Stack:
    """One start of the stack: its ports are claimed, its data directory is held by the caller."""

    def __init__(self, options: Options, data: DataDirectory, ports: Mapping[str, int], console: Console) -> None:
        self.options = options
        self.data = data
        self.ports = ports
        self.console = console
        self.kafka = options.kafka or f"{LOOPBACK}:{ports['kafka-port']}"
        self.mongo = options.mongo or f"mongodb://{LOOPBACK}:{ports['mongo-port']}"
        self.api = f"http://{LOOPBACK}:{ports['api-port']}"
        self.ingest = f"http://{LOOPBACK}:{ports['ingest-port']}"

    def addresses(self, secrets: Secrets) -> Addresses:
        return Addresses(
            api=self.api,
            dashboard=self.api,
            ingest=self.ingest,
            kafka=self.kafka,
            mongo=self.mongo,
            write_key=secrets.write_key,
            api_key=secrets.api_key,
            tenant=secrets.tenant,
        )

    def readiness(self) -> dict[str, str]:
        """Where each service says whether it is ready."""
        return {
            "ingest": f"{self.ingest}/readyz",
            "scoring": f"http://{LOOPBACK}:{self.ports['scoring-metrics-port']}/readyz",
            "alerts": f"http://{LOOPBACK}:{self.ports['alerts-metrics-port']}/readyz",
            "api": f"{self.api}/readyz",
        }

    def plan(self, secrets: Secrets, store: Store) -> Plan:
        async def prepare() -> None:
            await store.prepare()
            await ensure_secrets(store, secrets, now_ms())
            done = await establish(self.kafka, store, self.options.partitions, new_id)
            if done.incarnated:
                self.console.say(f"Topics of a new incarnation: {', '.join(done.incarnated)}")

        return Plan(
            store=None if self.options.mongo else mongo.launch(self.ports["mongo-port"], self.data.mongo),
            broker=None if self.options.kafka else broker.launch(self.ports["kafka-port"]),
            establish=prepare,
            services=[self._service(name, self.readiness()[name], secrets) for name in STOPPED],
            followers=[self._simulator(secrets)] if self.options.demo else [],
        )

    def _service(self, name: str, ready_url: str, secrets: Secrets) -> Launch:
        metrics = self.ports.get(f"{name}-metrics-port", 0)
        env = environment(
            RAPPORT_KAFKA=self.kafka,
            RAPPORT_MONGO=self.mongo,
            RAPPORT_DATABASE=DATABASE,
            RAPPORT_HOST=LOOPBACK,
            RAPPORT_INGEST_PORT=str(self.ports["ingest-port"]),
            RAPPORT_API_PORT=str(self.ports["api-port"]),
            RAPPORT_METRICS_PORT=str(metrics),
            RAPPORT_PARTITIONS=str(self.options.partitions),
            RAPPORT_LOG_FORMAT="console",
            RAPPORT_DASHBOARD_SECRET=secrets.dashboard_secret,
            **({} if self.options.kafka else FORGETFUL),
            **(DEMO_SETTINGS if self.options.demo else {}),
        )
        argv = (sys.executable, "-m", f"services.{name}")
        return Launch(name, argv, env, answers(ready_url), hands_on=name in ("ingest", "scoring"))

    def _simulator(self, secrets: Secrets) -> Launch:
        state = str(self.data.simulator)
        argv = (sys.executable, "-m", "shared.simulator", "--ingest", self.ingest, "--api", self.api, "--state", state)
        env = environment(RAPPORT_WRITE_KEY=secrets.write_key, RAPPORT_API_KEY=secrets.api_key)

        async def starts_at_once() -> None:
            return None

        return Launch("simulator", argv, env, starts_at_once, endless=False)

    def announce(self, secrets: Secrets) -> None:
        """Print the addresses one a line, record them, and write the ready file."""
        addresses = self.addresses(secrets)
        probes = {**self.readiness(), "kafka": self.kafka, "mongo": self.mongo}
        self.data.keep_running(Running(os.getpid(), probes))
        self.console.say("Everything is ready. Ctrl-C stops it.")
        for name, value in msgspec.structs.asdict(addresses).items():
            put(sys.stdout, f"{name:<10} {value}\n")
        if self.options.ready_file:
            write_private(self.options.ready_file, addresses)


def answers(url: str) -> Probe:
    """A probe that passes when `url` answers 200."""
    where = urlsplit(url)
    host, port = where.hostname or LOOPBACK, where.port or 80

    async def probe() -> None:
        await reaches(host, port)  # most questions come before anything listens: httpx needs far longer to find that
        # Plain HTTP on loopback: to verify would mean to load all certificates of this machine for each question
        async with httpx.AsyncClient(trust_env=False, timeout=2.0, verify=False) as client:  # noqa: S501
            try:
                answer = await client.get(url)
            except httpx.TransportError as error:
                raise ConnectionError(f"{url}: {error or type(error).__name__}") from error
        if answer.status_code != httpx.codes.OK:
            raise ConnectionError(f"{url} answers {answer.status_code}: {answer.text[:200]}")

    return probe


async def serve(stack: Stack, secrets: Secrets, store: Store) -> None:
    """Run the stack until SIGINT, SIGTERM or SIGHUP; then everything is stopped."""
    task = asyncio.current_task()
    assert task is not None
    stopping = False

    def stop() -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            task.cancel()
            stack.console.say("Stopping ...")

    loop = asyncio.get_running_loop()
    signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, stop)
    supervisor = Supervisor(
        stack.plan(secrets, store), stack.console, stack.console.say, lambda: stack.announce(secrets)
    )
    try:
        await supervisor.run()
    except asyncio.CancelledError:
        if not stopping:
            raise
        stack.console(SUPERVISOR, "Stopped.")
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
        await store.close()
