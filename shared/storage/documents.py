"""Domain values ↔ stored documents, the same in every store.

A document is the value's fields with `id` as `_id`. Keys of maps come from outside and may hold anything, so they are
stored percent-encoded where a store gives a character a meaning (dot, dollar, brackets, quotes, control characters).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec

from shared.domain.columns.months import Month
from shared.storage.store import DedupChunk

Document = dict[str, Any]
T = TypeVar("T")

_RISKY = re.compile(r"""[%.$\[\]"'\\\x00-\x1f]""")
_INT64 = 1 << 63
_SCALARS = frozenset({str, bool, type(None)})
_FLOATS = frozenset({float, type(None)})


@lru_cache(maxsize=4096)
def escape_key(key: str) -> str:
    """A map's key as it is stored; "" becomes "%", which no other key does."""
    if not key:
        return "%"
    escaped = _RISKY.sub(lambda found: f"%{ord(found[0]):02X}", key)
    return "%5F" + escaped[1:] if escaped.startswith("__") else escaped  # NX-27017 keeps "__…" for its own types


def unescape_key(key: str) -> str:
    """The inverse of `escape_key`."""
    return "" if key == "%" else unquote(key)


def path(*keys: str) -> str:
    """The dotted path to a place in a document, for `Write.fields`: `path("flags", "usage_drop/a.b")`."""
    return ".".join(map(escape_key, keys))


def plain(value: object) -> Any:
    """What is stored of a value: dicts with escaped keys, lists, strings, numbers; ValueError for NaN and infinity.

    Integers beyond 64 bits, which JSON allows and BSON does not, become floats, or text where a float cannot hold them.
    """
    kind = value.__class__
    if kind in _SCALARS:
        return value
    if kind is int or kind is float:
        return _number(value)
    if kind is list or kind is tuple:
        return _stored_list(value)  # type: ignore[arg-type]
    return _stored(msgspec.to_builtins(value))


def _stored(value: Any) -> Any:
    kind = value.__class__
    if kind in _SCALARS:
        return value
    if kind is dict:
        return {escape_key(str(key)): _stored(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return _stored_list(value)
    return _number(value)


def _stored_list(values: Iterable[Any]) -> list[Any]:
    items = list(values)
    kinds = set(map(type, items))
    if kinds <= _SCALARS:
        return items
    if kinds == {float} and all(map(math.isfinite, items)):
        return items
    if kinds == _FLOATS and all(math.isfinite(item) for item in items if item is not None):
        return items
    if kinds == {int} and min(items) >= -_INT64 and max(items) < _INT64:
        return items
    return [plain(item) for item in items]


def _number(value: Any) -> Any:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot be stored: only finite numbers can")
        return value
    if -_INT64 <= value < _INT64:
        return value
    try:
        return float(value)
    except OverflowError:
        return str(value)


class Plain(dict[str, Any]):
    """Fields of a `Write` that are as they are stored already: whoever makes it knows what is in them."""


def encoded(fields: Mapping[str, Any]) -> Document:
    """The fields of a `Write` as they are stored.

    A number that is a field by itself (not inside a map or list) keeps 15 significant digits: SQLite, below NX-27017,
    writes no more of it.
    """
    if fields.__class__ is Plain:
        return fields
    return {name: value if value.__class__ is str else _rounded(plain(value)) for name, value in fields.items()}


def _rounded(value: Any) -> Any:
    return float(f"{value:.15g}") if value.__class__ is float else value


def document(value: msgspec.Struct) -> Document:
    """The whole document of a value; top-level defaults are spelled out, so that nothing older shows through."""
    fields = zip(value.__struct_fields__, msgspec.structs.astuple(value), strict=True)
    found = {name: item if item.__class__ in _SCALARS else plain(item) for name, item in fields}
    if "id" in found:
        found["_id"] = found.pop("id")
    return found


def parse(found: Mapping[str, Any], kind: type[T]) -> T:
    """The value of type `kind` in a document; fields it does not know are passed over."""
    fields = dict(found) if kind in _OWN_KEYS else _loaded(found)
    if "_id" in fields:
        fields["id"] = fields.pop("_id")
    # Not strict: NX-27017 returns a boolean that was set by itself as 0 or 1.
    return msgspec.convert(fields, kind, strict=False)


def _loaded(value: Any) -> Any:
    kind = value.__class__
    if kind is dict:
        return {
            unescape_key(key) if "%" in key else key: item if item.__class__ in _FLAT else _loaded(item)
            for key, item in value.items()
        }
    if kind is list:
        return list(value) if _FLAT.issuperset(map(type, value)) else [_loaded(item) for item in value]
    return value if kind in _FLAT else int(value)  # BSON's own type of integer


_FLAT = frozenset({str, bool, type(None), int, float})
_OWN_KEYS: frozenset[type] = frozenset({Month, DedupChunk})
"""Kinds all of whose keys are ours and whose values have a type: there is nothing to unescape or to make plain."""


def value_at(found: Mapping[str, Any], dotted: str) -> Any:
    """What lies at a dotted path, None if nothing does."""
    here: Any = found
    for key in dotted.split("."):
        if not isinstance(here, dict) or key not in here:
            return None
        here = here[key]
    return here
