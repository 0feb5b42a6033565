"""What queries compare, kept beside each document in `q`: filters, orders and cursors, the same in every store.

Every text in `q` begins with "=". NX-27017 takes text that looks like a date for a date, and then compares it wrongly;
with a leading sign nothing does. `q` is derived from what is written, so nobody else needs to know of it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from shared.domain.contract.events import relationship_key
from shared.domain.relationship.state import Kind
from shared.domain.relationship.touchpoints import Touchpoint
from shared.storage.documents import Document, encoded, value_at
from shared.storage.store import AlertQuery, RelationshipQuery, Write

MAX_LIMIT = 1000
_DIRECTORY = {"kind": Kind.CUSTOMER.value, "segment": "", "owner": "", "stage": ""}
"""Fields of the directory that lists filter by, and what they are when nothing was said."""
_OUTSIDE = ("owner", "rule", "alert")
"""Fields of alerts and deliveries that lists filter by and whose text comes from outside."""


_UNLISTED = frozenset({"months", "dedup", "partitions"})
"""Collections whose documents are found by what never changes: who they belong to."""


def lookup(id: str, fields: Mapping[str, Any]) -> Document:
    """The `q` fields, as dotted paths, that follow from writing these (encoded) fields to document `id`."""
    found: Document = {}
    if "tenant" in fields:
        found |= {"q.key": "=" + id, "q.tenant": "=" + fields["tenant"]}
        if "relationship" in fields:
            found["q.of"] = "=" + relationship_key(fields["tenant"], fields["relationship"])
    found |= {f"q.{name}": "=" + fields[name] for name in _OUTSIDE if name in fields}
    if "published_version" in fields:
        found["q.lags"] = int(fields["published_version"] < fields["version"])
    return found | _directory(id, _written_directory(fields))


def written(write: Write) -> Document:
    """Everything that a write sets, as it is stored, by dotted path."""
    fields = encoded(write.fields)
    if write.base and write.collection in _UNLISTED:
        return {**fields, "rev": write.base + 1}
    new_head = write.base == 0 and write.collection == "relationships"  # is to be found even if nothing was said of it
    about = {"directory": {}, **fields} if new_head else fields
    return {**fields, **lookup(write.id, about), "rev": write.base + 1}


def _written_directory(fields: Mapping[str, Any]) -> Document:
    """What these fields say of the directory: all of it, or single values by dotted path."""
    prefix = "directory."
    if "directory" not in fields and prefix not in "\n".join(fields):
        return {}
    single = {name.removeprefix(prefix): value for name, value in fields.items() if name.startswith(prefix)}
    return {"name": "", **_DIRECTORY, **fields["directory"], **single} if "directory" in fields else single


def _directory(id: str, directory: Mapping[str, Any]) -> Document:
    found: Document = {f"q.{name}": "=" + directory[name] for name in _DIRECTORY if name in directory}
    if "name" in directory:
        name = directory["name"].casefold()
        found |= {"q.name": "=" + name, "q.text": f"={name}\n{id.partition('/')[2].casefold()}"}
    return found


def nested(dotted: Mapping[str, Any]) -> Document:
    """`{"q.a": 1}` as `{"q": {"a": 1}}`: a document made in one piece cannot have dotted names."""
    whole: Document = {}
    for name, value in dotted.items():
        *parents, last = name.split(".")
        here = whole
        for parent in parents:
            here = here.setdefault(parent, {})
        here[last] = value
    return whole


# --- filters -----------------------------------------------------------------------------------------------------


class Condition(msgspec.Struct, frozen=True):
    """The value at `path` is one of `values` (None: there is none)."""

    path: str
    values: tuple[Any, ...]


def relationship_conditions(tenant: str, query: RelationshipQuery) -> list[Condition]:
    """The filters of a list of relationships; a default that was never written counts as written."""
    found = [Condition("q.tenant", ("=" + tenant,))]
    for name, default in _DIRECTORY.items():
        wanted = getattr(query, name)
        if wanted is not None:
            values = ("=" + wanted, None) if wanted == default else ("=" + wanted,)
            found.append(Condition(f"q.{name}", values))
    if query.band is not None:
        found.append(Condition("scores.ri.band", (query.band, None) if query.band == "unknown" else (query.band,)))
    return found


def alert_conditions(tenant: str, query: AlertQuery) -> list[Condition]:
    """The filters of a list of alerts."""
    found = [Condition("q.tenant", ("=" + tenant,))]
    if query.states is not None:
        found.append(Condition("state", tuple(query.states)))
    if query.severity is not None:
        found.append(Condition("severity", (query.severity,)))
    if query.rule is not None:
        found.append(Condition("q.rule", ("=" + query.rule,)))
    if query.relationship is not None:
        found.append(Condition("q.of", ("=" + relationship_key(tenant, query.relationship),)))
    if query.owner is not None:
        found.append(Condition("q.owner", ("=" + query.owner,)))
    return found


def needle(text: str | None) -> str:
    """The text to look for in `q.text` (name and id, case folded); "" looks for nothing."""
    return "".join(sign for sign in (text or "").casefold() if sign >= " ").strip()


# --- orders and cursors ------------------------------------------------------------------------------------------


class Order(msgspec.Struct, frozen=True):
    """An order of documents: by the value at `path` and then `q.key`, both in one direction, as an index has them.

    Those without a value come last, by `q.key`. A value counts if it is greater than (or, `inclusive`, equal to)
    `floor`; below it, it is taken for none. With floor None every document has one.
    """

    name: str
    path: str
    descending: bool = False
    floor: str | int | None = None
    inclusive: bool = False

    def value(self, found: Document) -> Any:
        """The document's value in this order, None if it has none."""
        value = value_at(found, self.path)
        if isinstance(value, int):
            value = int(value)  # BSON has its own type of integer
        if value is None or self.floor is None:
            return value
        return value if value > self.floor or (self.inclusive and value == self.floor) else None

    def mark(self, found: Document) -> str:
        """The cursor of a page that ends with this document."""
        return write_cursor(Mark(self.name, self.value(found), found["q"]["key"]))


NEWEST_ENTRY = Order("timeline", "time", descending=True)
NEWEST_ALERT = Order("alerts", "opened_at", descending=True)

_SORTS: dict[str, tuple[str, str | int, bool]] = {
    "name": ("q.name", "=", False),
    "ri": ("scores.ri.index", 0, True),
    "rv": ("scores.rv.index", 0, True),
    "last_seen": ("last_seen", 0, False),
    "next_due_at": ("next_due_at", 0, False),
    "first_seen": ("first_seen", 0, False),
}


def relationship_order(sort: str) -> Order:
    """The order `sort` asks for; ValueError if there is no such order."""
    name = sort.removeprefix("-")
    if name not in _SORTS:
        raise ValueError(f"sort: {sort!r} is not known; choose one of {', '.join(_SORTS)}, with - first to reverse")
    place, floor, inclusive = _SORTS[name]
    return Order(sort, place, sort.startswith("-"), floor, inclusive)


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended: the order's name, the last item's value in it, and its `q.key`."""

    order: str
    value: str | int | float | None
    key: str


def write_cursor(mark: Mark) -> str:
    """The opaque text that stands for a mark."""
    return base64.urlsafe_b64encode(msgspec.json.encode(mark)).decode().rstrip("=")


def read_cursor(text: str | None, order: Order) -> Mark | None:
    """The mark in a cursor; ValueError if it was not made by `write_cursor` for this very order."""
    if text is None:
        return None
    wrong = ValueError("cursor: take it unchanged from `next` of the page before, with the same sort, or leave it out")
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        mark = msgspec.json.decode(raw, type=Mark)
    except (binascii.Error, UnicodeEncodeError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise wrong from error
    if mark.order != order.name or not _fits(mark.value, order) or not mark.key.startswith("="):
        raise wrong
    return mark


def _fits(value: str | int | float | None, order: Order) -> bool:
    if value is None:
        return order.floor is not None
    if isinstance(order.floor, str):
        return isinstance(value, str)
    return isinstance(value, int | float) and abs(value) < 1 << 63


def log_order(entry: Touchpoint) -> tuple[str, int, str]:
    """Where an entry comes in the log: at its own event, or at the retraction that came before it."""
    return entry.incarnation, entry.event_position if entry.event_position >= 0 else entry.position, entry.id


def page_limit(limit: int) -> int:
    """A page's size; ValueError unless it is between 1 and MAX_LIMIT."""
    if not 1 <= limit <= MAX_LIMIT:
        raise ValueError(f"limit: {limit} is not between 1 and {MAX_LIMIT}")
    return limit
