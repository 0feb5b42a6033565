"""The webhook channel: an HTTP POST signed as in Standard Webhooks (https://www.standardwebhooks.com)."""

from __future__ import annotations

import asyncio
import binascii
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import urlsplit

import httpx
from standardwebhooks import Webhook

from services.alerts.channels import Answer, Outcome
from shared.domain.alerts.delivery import TIMEOUT
from shared.domain.contract.events import Millis
from shared.domain.errors import Misconfigured
from shared.storage.store import Delivery

GONE = 410  # the receiver says that it will never want this again
MIN_SECRET_BYTES = 24  # as the specification asks


class WebhookChannel:
    """POSTs to one URL. Neither the URL (it may hold a token) nor the secret appears in an outcome."""

    def __init__(self, url: str, secret: str, *, timeout: Millis = TIMEOUT) -> None:
        self._url = checked_url(url)
        self._signer = signer(secret)
        self._timeout = timeout / 1000
        # No proxies or credentials from the environment: what is signed goes where the settings say.
        self._client = httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=self._timeout)

    async def send(self, delivery: Delivery, at: Millis) -> Outcome:
        """2xx: delivered. 410: refused for good. Anything else, or no answer in 15 s: to be tried again."""
        try:
            async with asyncio.timeout(self._timeout):
                status = await self._post(delivery.body, signed_headers(self._signer, delivery, at))
        except TimeoutError:
            return Outcome(Answer.RETRY, f"no answer within {self._timeout:g} s")
        except httpx.HTTPError as error:
            return Outcome(Answer.RETRY, f"no answer: {type(error).__name__}")
        if 200 <= status < 300:
            return Outcome(Answer.DELIVERED)
        return Outcome(Answer.REFUSED if status == GONE else Answer.RETRY, f"HTTP {status}")

    async def _post(self, body: str, headers: dict[str, str]) -> int:
        # The answer's body is not read: it has no meaning here, and may be endless.
        async with self._client.stream("POST", self._url, content=body.encode(), headers=headers) as response:
            return response.status_code

    async def close(self) -> None:
        await self._client.aclose()


def signed_headers(key: Webhook, delivery: Delivery, at: Millis) -> dict[str, str]:
    """Headers of one attempt. The id is the same in every attempt, so a receiver can drop what it has already."""
    message_id = "msg_" + sha256(delivery.id.encode()).hexdigest()[:32]
    moment = datetime.fromtimestamp(at / 1000, UTC)
    return {
        "content-type": "application/json",
        "user-agent": "rapport",
        "webhook-id": message_id,
        "webhook-timestamp": str(at // 1000),
        "webhook-signature": key.sign(msg_id=message_id, timestamp=moment, data=delivery.body),
    }


def checked_url(url: str) -> str:
    """The URL if one can POST to it; Misconfigured otherwise."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Misconfigured("RAPPORT_WEBHOOK_URL must be an address such as https://example.com/hook")
    return url


def signer(secret: str) -> Webhook:
    """The signing key in `whsec_` and base64; Misconfigured if it is not that, or too short to be safe."""
    try:
        length = len(binascii.a2b_base64(secret.removeprefix("whsec_").rstrip("=") + "==", strict_mode=False))
        if secret.startswith("whsec_") and length >= MIN_SECRET_BYTES:
            return Webhook(secret)
    except ValueError:  # binascii.Error among them
        pass
    raise Misconfigured(
        f"RAPPORT_WEBHOOK_SECRET must be whsec_ followed by at least {MIN_SECRET_BYTES} random bytes in base64; "
        "make one with: python -c \"import base64, secrets; print('whsec_' + "
        'base64.b64encode(secrets.token_bytes(32)).decode())"'
    )
