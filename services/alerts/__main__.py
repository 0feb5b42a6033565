"""`rapport alerts`: turns verdicts into alerts and delivers them, until SIGTERM or SIGINT."""

from __future__ import annotations

import contextlib
from functools import partial

from services.alerts.app import build, missing, open_channels, run
from shared.clock import now_ms
from shared.entry import main, told_to_stop
from shared.patience import pause_unless
from shared.probes import probe_app, serving
from shared.settings import Settings
from shared.storage.open import open_store
from shared.stream.publisher import KafkaPublisher
from shared.telemetry import Metrics, logger, of_process


async def serve(settings: Settings) -> None:
    """Build everything, run it, and take it down in the opposite order."""
    metrics, stop = of_process(Metrics("alerts")), told_to_stop()
    async with contextlib.AsyncExitStack() as opened:
        channels = open_channels(settings)
        for channel in channels.values():
            opened.push_async_callback(channel.close)
        store = open_store(settings)
        opened.push_async_callback(store.close)
        publisher = KafkaPublisher(settings.kafka)
        opened.push_async_callback(publisher.close)
        parts = build(settings, store, publisher, channels, metrics, now_ms, pause_unless(stop))
        if settings.metrics_port:
            probes = probe_app(metrics.registry, partial(missing, parts))
            await opened.enter_async_context(serving(probes, settings.host, settings.metrics_port))
        await run(settings, parts, stop)
        logger().info("stopped")


if __name__ == "__main__":
    main("alerts", serve)
