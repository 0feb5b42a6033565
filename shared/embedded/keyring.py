"""The keys of an embedded stack: made once, kept in its data directory, known to the store by their hashes."""

from __future__ import annotations

import secrets as chance
from typing import Protocol

from shared.domain.keys import API, WRITE, checked_tenant, format_key, hash_secret, parse_key
from shared.embedded.data import DataDirectory, Secrets
from shared.storage.store import ApiKey

TENANT = "demo"


class Keys(Protocol):
    """The part of the store that this needs."""

    async def key(self, id: str) -> ApiKey | None: ...

    async def add_key(self, key: ApiKey) -> None: ...


def new_key(kind: str) -> str:
    """A key's whole text, of 256 bits of chance."""
    return format_key(kind, chance.token_hex(6), chance.token_urlsafe(32))


def own_secrets(data: DataDirectory) -> Secrets:
    """Those of this data directory, made on first use."""
    known = data.secrets()
    if known is None:
        known = Secrets(TENANT, new_key(WRITE), new_key(API), chance.token_urlsafe(32))
        data.keep_secrets(known)
    return known


def as_stored(text: str, tenant: str, name: str, at: int) -> ApiKey:
    """What the store keeps of a key made at `at` (ms). Raises ValueError for what is no key or no tenant."""
    parts = parse_key(text)
    if parts is None:
        raise ValueError("not a key")
    kind, id, secret = parts
    return ApiKey(id=id, tenant=checked_tenant(tenant), kind=kind, hash=hash_secret(secret), name=name, created_at=at)


async def ensure_secrets(store: Keys, secrets: Secrets, at: int) -> None:
    """Tell the store the keys it does not know yet: all on the first start, and after a change of database."""
    for text in (secrets.write_key, secrets.api_key):
        key = as_stored(text, secrets.tenant, "embedded", at)
        if await store.key(key.id) is None:
            await store.add_key(key)
