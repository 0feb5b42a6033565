"""`rapport keys create|list|revoke`."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from shared.cli.failing import fail
from shared.cli.opening import with_store
from shared.clock import now_ms
from shared.domain.keys import API, WRITE
from shared.embedded.keyring import as_stored, new_key
from shared.storage.store import ApiKey

keys_app = typer.Typer(no_args_is_help=True)

Tenant = Annotated[str, typer.Option(help="whose data the key opens")]


class Kind(StrEnum):
    """What a key is good for."""

    WRITE = WRITE
    API = API


def table(keys: list[ApiKey]) -> str:
    """Lines for people: id, kind, name, when it was made, when it was revoked (UTC)."""
    rows = [("ID", "KIND", "NAME", "CREATED", "REVOKED")]
    rows += [(key.id, key.kind, key.name, _day(key.created_at), _day(key.revoked_at)) for key in keys]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


@keys_app.command()
def create(
    tenant: Tenant,
    kind: Annotated[Kind, typer.Option(help="write: send events; api: read and act")],
    name: Annotated[str, typer.Option(help="what it is for, as shown in the list")] = "",
) -> None:
    """Make a key and print it, this once: only its hash is stored."""
    text = new_key(kind.value)
    try:
        key = as_stored(text, tenant, name, now_ms())
    except ValueError as problem:
        fail(str(problem))
    with_store(lambda _, store: store.add_key(key))
    typer.echo(text)


@keys_app.command("list")
def list_keys(tenant: Tenant) -> None:
    """Show a tenant's keys, without their secrets."""
    typer.echo(table(with_store(lambda _, store: store.list_keys(tenant))))


@keys_app.command()
def revoke(tenant: Tenant, id: Annotated[str, typer.Argument(help="the key's id, as listed")]) -> None:
    """End a key at once: what uses it is answered 401 from then on."""
    if not with_store(lambda _, store: store.revoke_key(tenant, id, now_ms())):
        fail(f"Tenant {tenant} has no key {id}: see `rapport keys list --tenant {tenant}`.")
    typer.echo(f"Key {id} is revoked.")


def _day(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M") if at else ""
