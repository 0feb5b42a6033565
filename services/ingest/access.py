"""Whose events these are: from a write key to its tenant, with a short memory so that the store is seldom asked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256

from shared.domain.contract.events import MINUTE, SECOND, Millis
from shared.domain.keys import WRITE, matches, parse_key
from shared.storage.store import ApiKey, KeyStore

KNOWN_FOR = MINUTE  # so long may a revoked key still be taken
UNKNOWN_FOR = 5 * SECOND  # so long may a new key still be refused, if it was tried before it existed
REMEMBERED = 4_096


class AccessDenied(Exception):
    """This key may not send events: HTTP status, slug, and what to do. Never holds the secret."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail


class Access:
    """Checks write keys against the store."""

    def __init__(self, keys: KeyStore, now: Callable[[], Millis]) -> None:
        self._keys = keys
        self._now = now
        self._known: OrderedDict[str, tuple[ApiKey | None, Millis]] = OrderedDict()
        self._proven: dict[bytes, tuple[str, Millis]] = {}  # by the text's hash: whose it is, and until when

    async def tenant(self, text: str) -> str:
        """The tenant of the write key `text`. Raises Refused, Unavailable where the store does not answer."""
        proof = sha256(text.encode()).digest()
        proven = self._proven.get(proof)
        if proven is not None and proven[1] > self._now():
            return proven[0]
        tenant, until = await self._prove(text)
        if len(self._proven) >= REMEMBERED:
            self._proven.clear()
        self._proven[proof] = tenant, until
        return tenant

    async def _prove(self, text: str) -> tuple[str, Millis]:
        parsed = parse_key(text)
        if parsed is None:
            raise AccessDenied(401, "invalid_key", "A write key reads rk_write_ID_SECRET: copy it whole.")
        kind, id, secret = parsed
        key, until = await self._key(id)
        # One answer for an unknown id, a wrong secret and a wrong kind in the text: nothing is learnt by trying.
        if key is None or not matches(secret, key.hash) or key.kind != kind:
            raise AccessDenied(
                401, "unknown_key", "No such key: check that it is of this system, or have a new one made."
            )
        if key.revoked_at:
            raise AccessDenied(401, "revoked_key", f"The key {id} has been revoked: use the one that replaced it.")
        if key.kind != WRITE:
            raise AccessDenied(403, "wrong_key", f"The key {id} is for the API: events are sent with a write key.")
        return key.tenant, until

    async def _key(self, id: str) -> tuple[ApiKey | None, Millis]:
        """The key of this id, and until when that is believed."""
        now = self._now()
        remembered = self._known.get(id)
        if remembered is not None and remembered[1] > now:
            self._known.move_to_end(id)
            return remembered
        key = await self._keys.key(id)
        self._known[id] = found = key, now + (UNKNOWN_FOR if key is None else KNOWN_FOR)
        self._known.move_to_end(id)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found
