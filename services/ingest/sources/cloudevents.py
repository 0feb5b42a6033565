"""CloudEvents 1.0 as they come over HTTP and Kafka: structured, batch and binary mode, each to JSON texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from email.message import Message as MimeHeader
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import msgspec

from shared.domain.errors import Poison

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
JSON = "application/json"

_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_ANYTHING = msgspec.json.Decoder()
# Wherever numbers and control characters are wrong, the item they are in is rejected on its own later.
_LENIENT = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)
_BLANK = " \t\r\n"


@lru_cache(maxsize=256)
def media_type(header: str) -> tuple[str, str]:
    """A Content-Type header as (media type, charset), in lower case; charset is "utf-8" where none is said."""
    parsed = MimeHeader()
    parsed["content-type"] = header
    return parsed.get_content_type() if header else "", str(parsed.get_param("charset", "utf-8")).lower()


def events_of(media: str, body: bytes) -> Sequence[bytes | msgspec.Raw]:
    """The JSON texts of the events in a body of one of the three media types.

    `application/json` may hold one event or an array. Raises Poison where the items of a batch cannot be told apart.
    """
    if media == BATCH or (media == JSON and body.lstrip()[:1] == b"["):
        return _items(body)
    return [body]


def binary_event(attributes: Iterable[tuple[str, str]], media: str, body: bytes) -> bytes:
    """An event in binary mode (attributes beside, data as the body) as one JSON text, to be held to the same contract.

    A body that is not JSON comes along as `data_base64`.
    """
    event: dict[str, Any] = dict(attributes)
    event["datacontenttype"] = media
    if body:
        try:
            _ANYTHING.decode(body)
            event["data"] = msgspec.Raw(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            event["data_base64"] = body
    return msgspec.json.encode(event)


def http_attribute(value: str) -> str:
    """An attribute's value out of an HTTP header: quotes taken off, then percent-decoded."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return unquote(value)


def _items(body: bytes) -> Sequence[bytes | msgspec.Raw]:
    try:
        return _ARRAY.decode(body)
    except msgspec.ValidationError as error:
        raise Poison("not_a_batch", "A batch is a JSON array of events.") from error
    except (msgspec.DecodeError, RecursionError):
        return _items_one_by_one(body)


def _items_one_by_one(body: bytes) -> list[bytes]:
    """As `_items`, where an item is broken in a way that leaves its end clear, such as NaN: the others are not lost."""
    text = body.decode("utf-8", "surrogateescape")
    items = []
    try:
        at = _skip(text, 0, "[")
        while text[at] != "]":
            _, end = _LENIENT.raw_decode(text, at)
            items.append(text[at:end].encode("utf-8", "surrogateescape"))
            at = _skip(text, end)
            at = at if text[at] == "]" else _skip(text, at, ",")
        if _skip(text + "]", at + 1) != len(text):
            raise ValueError("something follows the array")
    except (ValueError, IndexError, RecursionError) as error:
        raise Poison(
            "malformed_json", "The body is no JSON array whose items can be told apart; nothing of it was taken."
        ) from error
    return items


def _skip(text: str, at: int, expected: str = "") -> int:
    """The place of the next character that is not blank, at or after `at`, and after `expected` if that is given."""
    while text[at] in _BLANK:
        at += 1
    if not expected:
        return at
    if text[at] != expected:
        raise ValueError(f"no {expected} at {at}")
    return _skip(text, at + 1)
