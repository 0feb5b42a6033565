"""Probes and metrics of a service that serves nothing else, and when the alerts service calls itself ready."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from services.alerts.app import Parts, missing, open_channels
from shared.domain.errors import Passing, Unavailable
from shared.probes import probe_app, serving
from shared.settings import Settings
from shared.telemetry import Metrics
from tests.flows.alerts.desk import Desk
from tests.flows.alerts.test_channels import SECRET


async def test_the_three_routes() -> None:
    metrics, lacking = Metrics("alerts"), ["the store"]
    metrics.outbox_pending.set(3)

    async def ready() -> str:
        return lacking[0]

    async with (
        serving(probe_app(metrics.registry, ready), "127.0.0.1", 0) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "not ready", "reason": "the store"})
        lacking[0] = ""
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
        answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        assert "rapport_outbox_pending_deliveries 3.0" in answer.text.splitlines()


async def test_a_port_that_is_taken_is_named() -> None:
    async def ready() -> str:
        return ""

    app = probe_app(Metrics("alerts").registry, ready)
    async with serving(app, "127.0.0.1", 0) as port:
        with pytest.raises(Passing, match=f"127.0.0.1:{port} .*set RAPPORT_METRICS_PORT"):
            async with serving(app, "127.0.0.1", port):
                pass


async def test_ready_is_a_store_that_answers_and_a_group_that_let_us_in() -> None:
    desk = Desk()
    worker = desk.worker()
    parts = Parts(desk.store, worker.processor, worker.member, worker.sweep, worker.outbox)
    assert await missing(parts) == "not yet a member of the consumer group"
    await worker.drain()
    assert await missing(parts) == ""

    async def ping() -> None:
        raise Unavailable("MongoDB does not answer")

    desk.store.ping = ping  # type: ignore[method-assign]
    assert await missing(parts) == "MongoDB does not answer"


@pytest.mark.parametrize(
    ("settings", "names"),
    [({}, ["log"]), ({"webhook_url": "https://example.com/hook", "webhook_secret": SECRET}, ["log", "webhook"])],
)
async def test_channels_are_what_the_settings_set_up(settings: dict[str, Any], names: list[str]) -> None:
    channels = open_channels(Settings(_env_file=None, **settings))
    assert sorted(channels) == names
    for channel in channels.values():
        await channel.close()
