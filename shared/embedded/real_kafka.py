"""Real Apache Kafka (KRaft, one node, loopback) from Maven Central, for tests and benches: needs Java 17 and Maven.

`make kafka` runs this module: `python -m shared.embedded.real_kafka [PORT] [DIRECTORY]`.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

from shared.domain.errors import Misconfigured
from shared.embedded.ports import LOOPBACK, claim, free_port, listens
from shared.embedded.process import Launch, environment, running
from shared.stream.admin import partition_counts

POM = Path(__file__).parents[2] / "deploy" / "kafka" / "pom.xml"
HEAP = "512m"
BRIEF = "-XX:TieredStopAtLevel=1"  # no optimising compiler: in a life of minutes it takes more than it gives
CLUSTER = (
    base64.urlsafe_b64encode(uuid.UUID(int=1).bytes).decode().rstrip("=")
)  # of no meaning: the data is thrown away

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""


def missing_tools() -> list[str]:
    """Programs that real Kafka needs and this machine lacks; empty when it can run here."""
    return [tool for tool in ("java", "mvn") if shutil.which(tool) is None]


def fetch() -> Path:
    """Directory of Kafka's jars, fetched by Maven when they are missing or older than the pom.

    Raises Misconfigured when Java or Maven is missing or Maven fails.
    """
    if missing := missing_tools():
        raise Misconfigured(f"Real Kafka needs Java 17 and Maven; missing on the PATH: {', '.join(missing)}.")
    libs = POM.parent / "target" / "libs"
    stamp = libs.parent / "fetched"
    if not stamp.exists() or stamp.stat().st_mtime < POM.stat().st_mtime:
        shutil.rmtree(libs, ignore_errors=True)
        command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Misconfigured(f"Maven could not fetch Apache Kafka:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        stamp.touch()
    return libs


def launch(port: int, directory: Path, *, controller: int = 0, brief: bool = False) -> Launch:
    """The broker on this loopback port with its log under `directory`, which is formatted when it is new.

    `controller`: the port on which it talks to itself, 0 for any. `brief`: for a life of minutes; it starts and warms
    up in half the CPU time, and is slower in the long run.
    Raises Misconfigured where it cannot be fetched or formatted.
    """
    classpath = f"{fetch()}/*"
    data = directory / "log"
    properties = directory / "server.properties"
    text = PROPERTIES.format(host=LOOPBACK, port=port, controller=controller or free_port(), data=data)
    properties.write_text(text)
    java = ("java", *((BRIEF,) if brief else ()), f"-Xmx{HEAP}", "-cp", classpath)
    format_command = ["java", BRIEF, "-cp", classpath, "kafka.tools.StorageTool", "format", "--ignore-formatted"]
    options = ("-t", CLUSTER, "-c", str(properties))
    done = subprocess.run([*format_command, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Misconfigured(f"Kafka's storage in {directory} cannot be formatted:\n{done.stdout}{done.stderr}")

    async def probe() -> None:
        await listens(port)
        await partition_counts(f"{LOOPBACK}:{port}", timeout=2.0)

    return Launch(name="kafka", argv=(*java, "kafka.Kafka", str(properties)), env=environment(), probe=probe)


async def serve(port: int, directory: Path) -> None:
    """Run the broker in the foreground until SIGINT or SIGTERM."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with running(launch(port, directory), lambda name, line: print(line, file=sys.stderr)) as child:
        print(f"Apache Kafka answers on {LOOPBACK}:{port}; Ctrl-C stops it.", flush=True)
        waits = {asyncio.create_task(stopped.wait()), asyncio.create_task(child.exited())}
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()


def main() -> None:
    """Command line: PORT (default 9092, 0 = any) and DIRECTORY (default: a new one that is removed afterwards)."""
    port = claim({"port": int(sys.argv[1]) if len(sys.argv) > 1 else 9092})["port"]
    if len(sys.argv) > 2:
        directory = Path(sys.argv[2])
        directory.mkdir(parents=True, exist_ok=True)
        asyncio.run(serve(port, directory))
        return
    with tempfile.TemporaryDirectory(prefix="rapport-kafka-") as name:
        asyncio.run(serve(port, Path(name)))


if __name__ == "__main__":
    try:
        main()
    except Misconfigured as problem:
        sys.exit(str(problem))
