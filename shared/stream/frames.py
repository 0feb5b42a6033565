"""What a record of `rapport.interactions` holds: a frame of events as columns, or what controls the log: a clock.

A frame is a batch of one tenant's events of one partition, in their order. Ingest parses each event once to accept it;
nothing after it parses it again. The events of a record are told apart by their place in it: see `position_of`. A
header says what a record is, and in which version: a reader that does not know it stops.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import count
from struct import calcsize, pack, unpack, unpack_from
from typing import Any, TypeVar

import msgspec

from shared import wire
from shared.domain.contract.events import MAX_NAME, Clock, Interaction, JsonObject, Millis, id_hash
from shared.domain.contract.uses import PLAIN_USE, plain_use
from shared.domain.errors import Misconfigured, Poison
from shared.domain.relationship.fence import EVENTS_A_RECORD
from shared.stream.ports import Headers, Message, Record
from shared.stream.topics import INCARNATION_HEADER, INTERACTIONS

T = TypeVar("T")

RECORD_HEADER = "rapport-record"  # what a record is, and in which version
EVENTS, CLOCK = b"events/1", b"clock/1"
_KIND = re.compile(rb"[a-z]{1,20}/[0-9]{1,4}")

FRAME_EVENTS = 1_000  # so many relationships a frame may bring into memory at once
FRAME_BYTES = 400_000  # about; with an event of the largest size it still fits into a record

U16, U64, I64, F64 = "H", "Q", "q", "d"
"""Codes of the columns' types (of `struct`), little-endian in a frame."""


class Kind(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What events have in common: type, source, and whether they are loaded history."""

    type: str
    source: str
    backfill: bool = False


class Other(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the columns do not hold of an event that is no plain use: its place in the frame, its id and data (JSON)."""

    place: int
    id: str
    data: bytes


class Frame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Events as columns, in MessagePack. Strings lie in lists, each once; columns of u16 say which one it is.

    `subjects` are as they were sent, and `relationships` what each of them was resolved to (none: all to themselves).
    An event that is no plain use is among `others`; its feature and person are "", its quantity is 0.
    """

    tenant: str
    subjects: list[str]
    relationships: list[str]
    kinds: list[Kind]
    features: list[str]
    persons: list[str]
    subject: bytes  # u16 each
    kind: bytes
    feature: bytes
    person: bytes
    time: bytes  # i64 each, ms
    quantity: bytes  # f64 each; empty: 1 each
    id: bytes  # u64 each: `id_hash` of source and id
    others: list[Other]
    use_ids: bytes  # ids of the plain uses, in order: a list by itself, which only people read

    def __len__(self) -> int:
        return len(self.id) // 8

    @property
    def resolved(self) -> list[str]:
        """The relationship of each subject."""
        return self.relationships or self.subjects


def frames_of(events: Sequence[Interaction]) -> list[bytes]:
    """Accepted events of one tenant and partition as frames, each of which fits into a record."""
    starts = range(0, len(events), FRAME_EVENTS)
    return [frame for start in starts for frame in _fitting(events[start : start + FRAME_EVENTS])]


def events_messages(events: Sequence[Interaction], incarnation: str, now: Millis) -> list[Message]:
    """The messages that append accepted events of one tenant to their partition, received at `now`."""
    headers = _headers(EVENTS, incarnation)
    return [Message(frame, None, headers, now) for frame in frames_of(events)]


def clock_message(now: Millis, incarnation: str) -> Message:
    """The message that says in a partition what time it is: whatever is due by then is evaluated when it is read."""
    return Message(wire.encode(Clock(now)), None, _headers(CLOCK, incarnation), now)


def kind_of(record: Record) -> bytes:
    """What a record is: EVENTS, CLOCK, or b"" where it does not say so as Rapport does.

    Raises Misconfigured for a kind or version that this version of Rapport does not know: to pass over it would be to
    lose it.
    """
    kind = next((value for name, value in record.headers if name == RECORD_HEADER), None)
    if kind in (EVENTS, CLOCK):
        return kind
    if kind is not None and _KIND.fullmatch(kind):
        raise Misconfigured(
            f"Offset {record.offset} of {INTERACTIONS} is of kind {kind.decode()}, which this version does not know:"
            " a newer one wrote it. Start that version again, or a later one."
        )
    return b""


def read_frame(raw: bytes | None) -> Frame:
    """The frame in a record. Raises Poison("undecodable") unless everything in it fits together, Poison("empty")."""
    if raw is None:
        raise Poison("empty", "not a Frame: the record has no value.")
    try:
        frame = _DECODE(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Poison("undecodable", f"not a Frame: {error}") from error
    _refuse_misfit(frame)
    return frame


def interactions(frame: Frame) -> list[Interaction]:
    """The events of a frame as they were accepted; of a plain use, without what its data held beside the use."""
    others = {other.place: other for other in frame.others}
    ids = iter(use_ids(frame))
    found = []
    for place in range(len(frame)):
        other = others.get(place)
        found.append(use_at(frame, place, next(ids, "")) if other is None else interaction(frame, other))
    return found


def interaction(frame: Frame, other: Other) -> Interaction:
    """An event that is no plain use."""
    return _interaction(frame, other.place, other.id, other.data)


def use_at(frame: Frame, place: int, id: str) -> Interaction:
    """The plain use at a place, with its id out of `use_ids`."""
    return _interaction(frame, place, id)


def _interaction(frame: Frame, place: int, id: str, data: bytes | None = None) -> Interaction:
    subject, kind = _number(U16, frame.subject, place), frame.kinds[_number(U16, frame.kind, place)]
    if data is None:
        data = wire.encode(_use(frame, place))
    sent, relationship = frame.subjects[subject], frame.resolved[subject]
    return Interaction(
        frame.tenant,
        relationship,
        id,
        kind.source,
        kind.type,
        _number(I64, frame.time, place),
        msgspec.Raw(data),
        kind.backfill,
        sent if sent != relationship else "",
    )


def _use(frame: Frame, place: int) -> JsonObject:
    """The data of a plain use, as short as it may be."""
    use: JsonObject = {"feature": frame.features[_number(U16, frame.feature, place)]}
    if person := frame.persons[_number(U16, frame.person, place)]:
        use["person"] = person
    if frame.quantity and (quantity := _number(F64, frame.quantity, place)) != 1.0:
        use["quantity"] = quantity
    return use


def use_ids(frame: Frame) -> list[str]:
    """Ids of the plain uses; none where whoever wrote the frame did not write them as ingest does."""
    try:
        return _IDS(frame.use_ids)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


# --- building --------------------------------------------------------------------------------------------------------


def _fitting(events: Sequence[Interaction]) -> list[bytes]:
    """These events as one frame, or halves as more of them."""
    frame = _frame(events)
    if len(frame) <= FRAME_BYTES or len(events) == 1:
        return [frame]
    half = len(events) // 2
    return [*_fitting(events[:half]), *_fitting(events[half:])]


def _frame(events: Sequence[Interaction]) -> bytes:
    uses = [plain_use(event) for event in events]
    subjects, subject = _numbered([(event.subject or event.relationship, event.relationship) for event in events])
    sent, resolved = [one for one, _ in subjects], [one for _, one in subjects]
    kinds, kind = _numbered([(event.type, event.source, event.backfill) for event in events])
    features, feature = _numbered(
        [use.feature or PLAIN_USE[event.type] if use else "" for event, use in zip(events, uses, strict=True)]
    )
    persons, person = _numbered([use.person if use else "" for use in uses])
    quantity = [use.quantity if use else 0.0 for use in uses]
    return _ENCODE(
        Frame(
            events[0].tenant,
            sent,
            [] if sent == resolved else resolved,
            [Kind(*one) for one in kinds],
            features,
            persons,
            subject,
            kind,
            feature,
            person,
            _column(I64, [event.time for event in events]),
            b"" if quantity.count(1.0) == len(quantity) else _column(F64, quantity),
            _column(U64, [id_hash(event.source, event.id) for event in events]),
            [Other(at, events[at].id, bytes(events[at].data)) for at, use in enumerate(uses) if use is None],
            _ENCODE([event.id for event, use in zip(events, uses, strict=True) if use]),
        )
    )


def _numbered(values: Sequence[T]) -> tuple[list[T], bytes]:
    """Each different value once, in the order of their first places, and a column that says which one is where."""
    places = dict(zip(dict.fromkeys(values), count()))
    return list(places), _column(U16, [places[value] for value in values])


def _column(kind: str, values: Sequence[float]) -> bytes:
    return pack(f"<{len(values)}{kind}", *values)


def _number(kind: str, raw: bytes, place: int) -> Any:
    """The number at a place of a column."""
    return unpack_from(f"<{kind}", raw, place * calcsize(f"<{kind}"))[0]


def _headers(kind: bytes, incarnation: str) -> Headers:
    return ((RECORD_HEADER, kind), (INCARNATION_HEADER, incarnation.encode()))


# --- reading ---------------------------------------------------------------------------------------------------------


def _refuse_misfit(frame: Frame) -> None:
    """Columns are of one length, what they point to is there, and no name is longer than ingest lets through."""
    events = len(frame)
    names = [frame.tenant, *frame.subjects, *frame.relationships, *frame.features, *frame.persons]
    names += [name for kind in frame.kinds for name in (kind.type, kind.source)]
    columns = (
        (frame.subject, frame.subjects),
        (frame.kind, frame.kinds),
        (frame.feature, frame.features),
        (frame.person, frame.persons),
    )
    fits = 0 < events <= EVENTS_A_RECORD and len(frame.id) == 8 * events == len(frame.time)
    fits = fits and len(frame.quantity) in (0, 8 * events)
    fits = fits and len(frame.relationships) in (0, len(frame.subjects)) and max(map(len, names)) <= MAX_NAME
    fits = fits and all(len(some) <= events for some in (frame.subjects, frame.features, frame.persons))
    fits = fits and 0 not in unpack(f"<{events}{U64}", frame.id)  # no id hashes to it: it stands for an empty slot
    for raw, strings in columns:
        fits = fits and len(raw) == 2 * events and max(unpack(f"<{events}{U16}", raw)) < len(strings)
    places = [other.place for other in frame.others]
    fits = fits and places == sorted(set(places)) and all(0 <= place < events for place in places)
    if not fits:
        raise Poison("undecodable", "not a Frame: its columns do not fit together.")


_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(Frame).decode
_IDS = msgspec.msgpack.Decoder(list[str]).decode
