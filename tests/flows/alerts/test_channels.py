"""The channels against what they really talk to: a local HTTP server that verifies, and the log."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from services.alerts.channels import Answer
from services.alerts.channels.log import LogChannel
from services.alerts.channels.webhook import WebhookChannel
from services.alerts.payload import deliveries_owed
from shared.clock import now_ms
from shared.domain.alerts.lifecycle import apply_change
from shared.domain.errors import Misconfigured
from shared.playbooks.loader import builtin_playbook
from shared.probes import serving
from shared.storage.store import Delivery
from tests.flows.alerts.desk import FINGERPRINT, NOW, Desk

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@dataclass
class Receiver:
    """What a customer's endpoint has received; it answers with `status`."""

    url: str = ""
    status: int = 200
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    silent: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    app, found = FastAPI(), Receiver()

    @app.post("/hook")
    async def hook(request: Request) -> Response:
        found.received.append((dict(request.headers), await request.body()))
        return Response(status_code=found.status)

    @app.post("/moved")
    async def moved() -> Response:
        return RedirectResponse("/hook", status_code=307)

    @app.post("/silent")
    async def silent() -> Response:
        await found.silent.wait()
        return Response()

    async with serving(app, "127.0.0.1", 0) as port:
        found.url = f"http://127.0.0.1:{port}"
        yield found
        found.silent.set()


def a_delivery(channel: str = "webhook") -> Delivery:
    desk = Desk()
    change = desk.change()
    step = apply_change(None, desk.update(change), change, NOW)
    assert step is not None
    (delivery,) = deliveries_owed(step.alert, builtin_playbook(), [channel], NOW)
    return delivery


async def test_a_receiver_can_verify_what_it_gets() -> None:
    async with receiver() as hook:
        channel = WebhookChannel(hook.url + "/hook", SECRET)
        outcome = await channel.send(a_delivery(), now_ms())
        await channel.close()
    assert outcome.answer is Answer.DELIVERED
    ((headers, body),) = hook.received
    message = Webhook(SECRET).verify(body, headers)
    assert (message["type"], message["timestamp"]) == ("alert.opened", "2026-01-01T00:00:00.000Z")
    assert message["data"]["id"] == FINGERPRINT
    assert message["data"]["timeline"][0]["what"] == "opened"
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"].startswith("msg_")
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"x" * 32).decode()).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + b" ", headers)


async def test_every_attempt_has_the_same_id_and_its_own_time() -> None:
    async with receiver() as hook:
        channel = WebhookChannel(hook.url + "/hook", SECRET)
        for at in (NOW, NOW + 5_000):
            await channel.send(a_delivery(), at)
        await channel.close()
    (first, _), (second, _) = hook.received
    assert first["webhook-id"] == second["webhook-id"]
    assert [int(headers["webhook-timestamp"]) for headers in (first, second)] == [NOW // 1000, NOW // 1000 + 5]
    assert first["webhook-signature"] != second["webhook-signature"]


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, Answer.DELIVERED),
        (204, Answer.DELIVERED),
        (299, Answer.DELIVERED),
        (400, Answer.RETRY),
        (404, Answer.RETRY),
        (410, Answer.REFUSED),
        (429, Answer.RETRY),
        (500, Answer.RETRY),
        (503, Answer.RETRY),
    ],
)
async def test_what_an_answer_means(status: int, answer: Answer) -> None:
    async with receiver() as hook:
        hook.status = status
        channel = WebhookChannel(hook.url + "/hook", SECRET)
        outcome = await channel.send(a_delivery(), NOW)
        await channel.close()
    assert outcome.answer is answer
    assert outcome.detail == ("" if answer is Answer.DELIVERED else f"HTTP {status}")


async def test_redirects_are_not_followed() -> None:
    async with receiver() as hook:
        channel = WebhookChannel(hook.url + "/moved", SECRET)
        outcome = await channel.send(a_delivery(), NOW)
        await channel.close()
    assert (outcome.answer, outcome.detail) == (Answer.RETRY, "HTTP 307")
    assert hook.received == []


async def test_silence_is_given_up_after_a_while() -> None:
    async with receiver() as hook:
        channel = WebhookChannel(hook.url + "/silent", SECRET, timeout=50)
        outcome = await channel.send(a_delivery(), NOW)
        await channel.close()
        hook.silent.set()
    assert outcome.answer is Answer.RETRY
    assert outcome.detail.startswith("no answer")


async def test_nobody_there_is_tried_again_and_tells_no_address() -> None:
    async with serving(FastAPI(), "127.0.0.1", 0) as port:
        pass
    channel = WebhookChannel(f"http://127.0.0.1:{port}/token-abc", SECRET)
    outcome = await channel.send(a_delivery(), NOW)
    await channel.close()
    assert (outcome.answer, outcome.detail) == (Answer.RETRY, "no answer: ConnectError")


@pytest.mark.parametrize("url", ["", "example.com/hook", "ftp://example.com", "https://"])
def test_an_address_that_cannot_be_posted_to_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="RAPPORT_WEBHOOK_URL must be an address such as"):
        WebhookChannel(url, SECRET)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_é", "hunter2" * 10, base64.b64encode(b"x" * 32).decode()]
)
def test_a_weak_or_malformed_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(Misconfigured, match="RAPPORT_WEBHOOK_SECRET must be whsec_ followed by") as refused:
        WebhookChannel("https://example.com/hook", secret)
    assert not secret or secret == "whsec_" or secret not in str(refused.value)


async def test_the_log_gets_one_structured_line() -> None:
    with structlog.testing.capture_logs() as lines:
        outcome = await LogChannel().send(a_delivery("log"), NOW)
    assert outcome.answer is Answer.DELIVERED
    assert lines == [
        {
            "event": "alert.opened",
            "log_level": "info",
            "tenant": "acme",
            "id": FINGERPRINT,
            "rule": "usage_drop",
            "subject": "",
            "severity": "warning",
            "state": "open",
            "relationship": "acct-42",
            "name": "Globex",
            "owner": "eva",
            "reason": "reason 1",
            "episode": 1,
            "version": 1,
        }
    ]
