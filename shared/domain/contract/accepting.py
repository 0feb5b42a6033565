"""Accepting an event: CloudEvents JSON in, an `Interaction` or a `Rejection` with its reason out. Pure and total."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from shared.domain.contract.demands import TIME_FORM, refuse_impossible
from shared.domain.contract.events import MAX_NAME, Interaction, Millis
from shared.domain.contract.kinds import NAME, holds_control
from shared.domain.contract.moments import datetime_millis, time_millis
from shared.domain.contract.payload import checked_data, malformed
from shared.domain.errors import Poison

MAX_EVENT_BYTES = 32 * 1024

Resolve = Callable[[str, str], str]
"""(tenant, subject) → the relationship's id."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
_Raw = bytes | msgspec.Raw


class Rejection(msgspec.Struct, frozen=True):
    """Why item `index` of a request was not accepted: `reason` a slug, `detail` a sentence that says what to do."""

    index: int
    id: str
    reason: str
    detail: str


class Acceptance(msgspec.Struct, frozen=True):
    """What events are held against: whose they are, their receipt (ms), how subjects are read, the largest size."""

    tenant: str
    now: Millis
    resolve: Resolve
    max_bytes: int = MAX_EVENT_BYTES


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """A CloudEvent as it must be. Whatever does not decode into this is looked at again by `_diagnose`."""

    specversion: Literal["1.0"]
    id: _Name
    source: _Name
    type: _Name
    subject: _Name
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    data: msgspec.Raw = msgspec.Raw(b"{}")
    datacontenttype: str | None = None
    data_base64: Any = None
    rapportbackfill: bool | str | None = None


class _Id(msgspec.Struct, gc=False):
    id: Any = ""


_ENVELOPE = msgspec.json.Decoder(Envelope)
_ANYTHING = msgspec.json.Decoder()
_ID = msgspec.json.Decoder(_Id)
_NAMES = ("id", "source", "type", "subject")
_JSON_MEDIA = re.compile(r"(application|text)/(json|[\w.+-]+\+json)(\s*;.*)?", re.IGNORECASE | re.ASCII)
_FLAGS = {None: False, False: False, True: True, "false": False, "true": True}


def accept_all(raws: Sequence[_Raw], terms: Acceptance) -> list[Interaction | Rejection]:
    """One answer for each of `raws`, in their order; none depends on another."""
    return [accept(raw, index, terms) for index, raw in enumerate(raws)]


def accept(raw: _Raw, index: int, terms: Acceptance) -> Interaction | Rejection:
    """The interaction in the JSON text `raw`, item `index` of its request, or why there is none."""
    try:
        return _interaction(raw, terms)
    except Poison as poison:
        return Rejection(index, event_id(raw), poison.reason, poison.detail)


def event_id(raw: _Raw) -> str:
    """The id that `raw` carries, however wrong the rest may be; empty where there is none to be read."""
    try:
        found = _ID.decode(raw).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return found[:MAX_NAME] if type(found) is str else ""


def _interaction(raw: _Raw, terms: Acceptance) -> Interaction:
    if len(memoryview(raw)) > terms.max_bytes:
        raise Poison("too_large", f"An event may have {terms.max_bytes:,} bytes; leave out or shorten what is long.")
    envelope = _envelope(raw)
    moment = datetime_millis(envelope.time)
    refuse_impossible(moment, terms.now, "time")
    relationship = terms.resolve(terms.tenant, envelope.subject)
    return Interaction(
        terms.tenant,
        relationship,
        envelope.id,
        envelope.source,
        envelope.type,
        moment,
        checked_data(envelope.type, envelope.data, terms.now),
        _FLAGS[envelope.rapportbackfill],
        envelope.subject if envelope.subject != relationship else "",
    )


def _envelope(raw: _Raw) -> Envelope:
    try:
        envelope = _ENVELOPE.decode(raw)
    except msgspec.ValidationError as error:
        raise _diagnose(raw, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(error) from error
    names = (envelope.id, envelope.source, envelope.type, envelope.subject)
    if holds_control("".join(names)) or any(map(str.isspace, names)) or envelope.rapportbackfill not in _FLAGS:
        raise _diagnose(raw, "an attribute is not as it must be")
    media = envelope.datacontenttype
    if envelope.data_base64 is not None or (media and not _JSON_MEDIA.fullmatch(media)):
        raise Poison("unsupported_data", "Send `data` as a JSON object, with datacontenttype application/json or none.")
    return envelope


def _is_flag(value: Any) -> bool:
    return value is None or (type(value) in (bool, str) and value in _FLAGS)


def _diagnose(raw: _Raw, otherwise: str) -> Poison:
    """Say in words which attribute is wrong; `otherwise` is what the decoder said."""
    try:
        found = _ANYTHING.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return malformed(error)
    if type(found) is not dict:
        return Poison(
            "not_an_object", "An event is a JSON object with specversion, id, source, type, time and subject."
        )
    for name in ("specversion", *_NAMES, "time"):
        if found.get(name) is None:
            return Poison("missing_attribute", f"The attribute `{name}` is missing; {_ATTRIBUTES[name]}.")
    if found["specversion"] != "1.0":
        return Poison("unsupported_specversion", 'Send CloudEvents 1.0: `specversion` must be the text "1.0".')
    for name in _NAMES:
        if not NAME.fits(found[name]):
            return Poison("invalid_attribute", f"The attribute `{name}` must be {NAME.words}.")
    if time_millis(found["time"]) is None:
        return Poison("invalid_time", f"The attribute `time` is no time that can be used; {_ATTRIBUTES['time']}.")
    if not _is_flag(found.get("rapportbackfill")):
        return Poison("invalid_attribute", "The attribute `rapportbackfill` must be true or false.")
    return Poison("invalid_attribute", f"Attributes must be as CloudEvents 1.0 has them: {otherwise}.")


_ATTRIBUTES = {
    "specversion": 'it is the text "1.0"',
    "id": "it tells events of one source apart",
    "source": "it names the system that the event comes from",
    "type": "it says what happened, for example usage.feature_used",
    "subject": "it names the relationship, for example acct-42",
    "time": TIME_FORM,
}
