"""Keys of machine clients: `rk_KIND_ID_SECRET`. What is stored is the id and the secret's hash, never the secret."""

from __future__ import annotations

import hashlib
import hmac
import re

WRITE = "write"
"""Kind of a key that may send events to ingest."""

API = "api"
"""Kind of a key that may read and act through the API."""

# The id names the key in lists and logs, so it holds no underscore; the secret may hold anything base64url does.
_KEY = re.compile(r"rk_(write|api)_([A-Za-z0-9-]{1,64})_([A-Za-z0-9_-]{16,128})")


# Ids of everything a tenant has begin with its name and a slash: with a slash of its own, one could read another's.
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def checked_tenant(name: str) -> str:
    """The name if a tenant can be called so; ValueError saying what is allowed otherwise."""
    if not _TENANT.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot name a tenant: take 1 to 64 letters, digits, dots, hyphens and underscores, a letter or"
            " digit first"
        )
    return name


def format_key(kind: str, id: str, secret: str) -> str:
    """The text of a key, as its owner is shown it once; raises ValueError if it would not parse again."""
    text = f"rk_{kind}_{id}_{secret}"
    if parse_key(text) != (kind, id, secret):
        raise ValueError(
            "a key needs a kind (write or api), an id of letters, digits and hyphens, and a secret of 16 characters"
        )
    return text


def parse_key(text: str) -> tuple[str, str, str] | None:
    """(kind, id, secret), or None for anything that is not a key."""
    match = _KEY.fullmatch(text)
    return (match[1], match[2], match[3]) if match else None


def hash_secret(secret: str) -> str:
    """SHA-256 as hexadecimal digits: enough, since a secret is 256 bits of chance and no password."""
    return hashlib.sha256(secret.encode()).hexdigest()


def matches(secret: str, hash: str) -> bool:
    """Whether `secret` has this hash, in a time that tells nothing about where they differ."""
    return hmac.compare_digest(hash_secret(secret).encode(), hash.encode())
