"""Who is asking: `Authorization: Bearer rk_api_…`, checked against the stored hashes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated

import msgspec
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.api.problems import Problem
from shared.domain.contract.events import SECOND, Millis
from shared.domain.keys import API, hash_secret, matches, parse_key
from shared.storage.store import ApiKey, KeyStore

CACHE_TIME = 60 * SECOND  # a revoked key is refused after this at the latest
CACHE_SIZE = 10_000

_NOBODY = hash_secret("compared with, so that an unknown id takes as long as a wrong secret")


class Principal(msgspec.Struct, frozen=True):
    """Who a key speaks for: its tenant, its id, and its name as it is written into timelines."""

    tenant: str
    key: str
    name: str


class Keyring:
    """Checks API keys; remembers each for CACHE_TIME."""

    def __init__(self, store: KeyStore, clock: Callable[[], Millis]) -> None:
        self._store = store
        self._clock = clock
        self._seen: OrderedDict[str, tuple[ApiKey, Millis]] = OrderedDict()

    async def principal(self, text: str) -> Principal | None:
        """Whose key this is; None if it is malformed, unknown, wrong, revoked, or not an API key."""
        parsed = parse_key(text)
        if parsed is None:
            return None
        kind, id, secret = parsed
        key = await self._key(id)
        right = matches(secret, key.hash if key is not None else _NOBODY)
        if key is None or not right or kind != API or key.kind != API or key.revoked_at:
            return None
        return Principal(key.tenant, key.id, key.name or key.id)

    async def known(self, id: str) -> Principal | None:
        """Who signed in with the API key of this id; None once it is revoked (after CACHE_TIME at the latest)."""
        key = await self._key(id)
        if key is None or key.kind != API or key.revoked_at:
            return None
        return Principal(key.tenant, key.id, key.name or key.id)

    async def _key(self, id: str) -> ApiKey | None:
        now = self._clock()
        cached = self._seen.get(id)
        if cached is not None and now - cached[1] < CACHE_TIME:
            return cached[0]
        self._seen.pop(id, None)
        key = await self._store.key(id)
        if key is not None:
            self._seen[id] = (key, now)
            if len(self._seen) > CACHE_SIZE:
                self._seen.popitem(last=False)
        return key


_bearer = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="An API key: rk_api_ID_SECRET")


async def authenticated(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Principal:
    """The principal of a request; raises Problem 401 that says what is missing."""
    if credentials is None:
        raise _unauthorized('Bearer realm="rapport"', "Send the header `Authorization: Bearer rk_api_…`.")
    keyring: Keyring = request.app.state.deps.keys
    principal = await keyring.principal(credentials.credentials)
    if principal is None:
        raise _unauthorized(
            'Bearer realm="rapport", error="invalid_token"',
            "This is not a valid API key: it is unknown, revoked, mistyped, or a write key. "
            "Use a key that begins with rk_api_.",
        )
    return principal


def _unauthorized(challenge: str, detail: str) -> Problem:
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": challenge})


Caller = Annotated[Principal, Depends(authenticated)]
