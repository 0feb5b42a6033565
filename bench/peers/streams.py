"""Row `kafka_streams`: builds bench/peers/kafka_streams with Maven, and says how to run it."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

from shared.domain.errors import Misconfigured
from shared.embedded.real_kafka import missing_tools

PROJECT = Path(__file__).parent / "kafka_streams"
TARGET = PROJECT / "target"
MAIN = "rapport.bench.Main"
LEVELS = "-Dorg.slf4j.simpleLogger."
QUIET = (
    f"{LEVELS}defaultLogLevel=warn",
    # At each start it warns of a handler for global tables, of which there are none.
    f"{LEVELS}log.org.apache.kafka.streams.StreamsConfig=error",
)


@cache
def java_command() -> tuple[str, ...]:
    """The program without its arguments. Raises Misconfigured where Java 17 or Maven is missing or Maven fails."""
    if missing := missing_tools():
        raise Misconfigured(
            f"The row kafka_streams needs Java 17 and Maven; missing on the PATH: {', '.join(missing)}."
        )
    jar = TARGET / "kafka-streams-fold-1.jar"
    sources = [PROJECT / "pom.xml", *PROJECT.glob("src/**/*.java")]
    if not jar.exists() or jar.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        shutil.rmtree(TARGET, ignore_errors=True)  # all of libs is on the class path: no jars of earlier versions
        command = ["mvn", "-q", "-B", "-f", str(PROJECT / "pom.xml"), "package"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Misconfigured(f"Maven could not build {PROJECT.name}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return "java", *QUIET, "-cp", f"{jar}:{TARGET / 'libs'}/*", MAIN
