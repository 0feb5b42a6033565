"""`rapport alerts`: turns verdicts into alerts and delivers them, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from functools import partial

import uvloop

from services.alerts.app import build, missing, open_channels, run
from shared.clock import now_ms
from shared.domain.errors import Misconfigured
from shared.probes import probe_app, serving
from shared.settings import Settings
from shared.storage.open import open_store
from shared.stream.publisher import KafkaPublisher
from shared.telemetry import Metrics, configure_logging, logger


def main() -> None:
    """Run until told to stop; whatever goes wrong ends the process with a status that is not 0."""
    settings = Settings()
    configure_logging("alerts", settings.log_level, settings.log_format)
    wrong: list[str] = []
    try:
        uvloop.run(serve(settings))
    except* Misconfigured as errors:
        wrong = [str(error) for error in errors.exceptions]
    if wrong:  # its message says what to do: a traceback would only hide it
        logger().error("misconfigured", detail=" ".join(wrong))
        sys.exit(1)


async def serve(settings: Settings) -> None:
    """Build everything, run it, and take it down in the opposite order."""
    metrics, stop = Metrics("alerts"), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as opened:
        channels = open_channels(settings)
        for channel in channels.values():
            opened.push_async_callback(channel.close)
        store = open_store(settings)
        opened.push_async_callback(store.close)
        publisher = KafkaPublisher(settings.kafka)
        opened.push_async_callback(publisher.close)
        parts = build(settings, store, publisher, channels, metrics, now_ms)
        if settings.metrics_port:
            probes = probe_app(metrics.registry, partial(missing, parts))
            await opened.enter_async_context(serving(probes, settings.host, settings.metrics_port))
        await run(settings, parts, stop)
        logger().info("stopped")


if __name__ == "__main__":
    main()
