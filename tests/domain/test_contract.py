"""What is accepted, what is rejected, and that a rejection says why and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.contract.accepting import Acceptance, Rejection, accept, accept_all, event_id
from shared.domain.contract.events import DAY, HOUR, MINUTE, Interaction
from shared.domain.contract.kinds import CONTROL, KINDS, holds_control
from shared.domain.contract.types import EVENT_TYPES
from tests.examples import examples

NOW = 1_790_000_000_000  # 2026-09-21T14:13:20Z
TERMS = Acceptance("demo", NOW, lambda tenant, subject: subject.strip())
MISSING = object()


def event(**changes: Any) -> dict[str, Any]:
    """A usage event as it should be, with attributes changed (MISSING leaves one out)."""
    whole = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/app",
        "type": "usage.feature_used",
        "time": "2026-09-21T12:00:00Z",
        "subject": "acct-42",
        "data": {"feature": "export", "person": "ann@example.com", "quantity": 3},
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not MISSING}


def answer(what: Any) -> Interaction | Rejection:
    return accept(what if isinstance(what, bytes) else json.dumps(what).encode(), 0, TERMS)


def reason(what: Any) -> str:
    found = answer(what)
    assert isinstance(found, Rejection), found
    assert found.detail.endswith("."), found.detail
    return found.reason


def accepted(what: Any) -> Interaction:
    found = answer(what)
    assert isinstance(found, Interaction), found
    return found


def data_of(interaction: Interaction) -> Any:
    return msgspec.json.decode(interaction.data)


def test_an_event_becomes_an_interaction_of_the_key_s_tenant() -> None:
    got = accepted(event(subject=" acct-42 ", tenant="somebody-else", unknownextension=7))
    assert (got.tenant, got.relationship, got.id, got.source) == ("demo", "acct-42", "e-1", "/app")
    assert (got.type, got.time, got.backfill) == ("usage.feature_used", NOW - 2 * HOUR - 13 * MINUTE - 20_000, False)
    assert data_of(got) == {"feature": "export", "person": "ann@example.com", "quantity": 3}


def test_unknown_types_and_unknown_fields_are_kept_as_they_came() -> None:
    data = {"sponsor": {"any": "thing"}, "score": "high", "none": None, "nested": [{"a": [1.5, True]}]}
    assert data_of(accepted(event(type="com.acme.thing", data=data))) == data
    extra = {"feature": "export", "colour": None, "more": {"x": [1]}}
    assert data_of(accepted(event(data=extra))) == extra


def test_known_fields_that_are_null_count_as_absent() -> None:
    got = accepted(event(data={"feature": "export", "person": None, "colour": None}))
    assert data_of(got) == {"feature": "export", "colour": None}
    assert reason(event(data={"feature": None})) == "missing_field"


@pytest.mark.parametrize("data", [MISSING, None, {}])
def test_data_may_be_left_out_where_nothing_is_required(data: Any) -> None:
    assert data_of(accepted(event(type="usage.login", data=data))) == {}
    assert reason(event(data=data)) == "missing_field"


@pytest.mark.parametrize(
    ("value", "backfill"), [(True, True), ("true", True), (False, False), ("false", False), (None, False)]
)
def test_loaded_history_says_so(value: Any, backfill: bool) -> None:
    assert accepted(event(rapportbackfill=value)).backfill is backfill


@pytest.mark.parametrize(
    ("text", "millis"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-31T09:00:00.123456Z", 1_769_850_000_123),
        ("2026-01-31T09:00:00.9999+01:00", 1_769_846_400_999),
        ("2026-01-31t09:00:00z", 1_769_850_000_000),
    ],
)
def test_times_are_read_exactly_and_cut_off_at_the_millisecond(text: str, millis: int) -> None:
    assert accepted(event(time=text)).time == millis


def test_an_event_may_be_24_hours_ahead_and_no_more() -> None:
    at = "2026-09-22T14:13:20"
    assert accepted(event(time=f"{at}Z")).time == NOW + DAY
    assert reason(event(time=f"{at}.001Z")) == "future_time"


@pytest.mark.parametrize("time", ["2026-09-22T14:13:40Z", "9999-12-31T23:59:59-10:00"])
def test_an_event_too_far_ahead_is_told_when_it_was_received(time: str) -> None:
    found = answer(event(time=time))
    assert isinstance(found, Rejection)
    assert found.detail.startswith(
        "`time` is more than 24 hours ahead of the receipt, which was at 2026-09-21T14:13:20.000Z; "
    )


@pytest.mark.parametrize("value", ["yes", "", 1, [True], {}])
def test_an_extension_that_is_wrong_is_named(value: Any) -> None:
    found = answer(event(rapportbackfill=value))
    assert isinstance(found, Rejection)
    assert found.detail == "The attribute `rapportbackfill` must be true or false."


ATTRIBUTES = [
    *[(event(**{name: MISSING}), "missing_attribute") for name in ("id", "source", "type", "time", "subject")],
    *[(event(**{name: None}), "missing_attribute") for name in ("id", "source", "type", "time", "subject")],
    *[
        (event(**{name: wrong}), "invalid_attribute")
        for name in ("id", "source", "type", "subject")
        for wrong in (7, "", "  ", "x" * 513, "a\nb", "a\x00b", "a\x85b", ["a"])
    ],
    (event(specversion=MISSING), "missing_attribute"),
    (event(specversion="0.3"), "unsupported_specversion"),
    (event(specversion=1.0), "unsupported_specversion"),
    *[
        (event(time=wrong), "invalid_time")
        for wrong in (
            1_790_000_000,
            "yesterday",
            "2026-09-21",
            "2026-09-21T12:00:00",
            "2026-09-31T12:00:00Z",
            "2026-09-21T23:59:60Z",
            "1969-12-31T23:59:59Z",
            "0001-01-01T00:00:00+10:00",
        )
    ],
    (event(rapportbackfill="yes"), "invalid_attribute"),
    (event(rapportbackfill=1), "invalid_attribute"),
    (event(datacontenttype=7), "invalid_attribute"),
    (event(datacontenttype="text/plain"), "unsupported_data"),
    (event(data=MISSING, data_base64="e30="), "unsupported_data"),
    ([event()], "not_an_object"),
    ("event", "not_an_object"),
    (b"", "malformed_json"),
    (b'{"id": "e-1", ', "malformed_json"),
    (b'{"id": "\xff"}', "malformed_json"),
    (json.dumps(event(data={"feature": "a", "x": float("nan")})).encode(), "malformed_json"),
    (json.dumps(event(type="note.added", data={"x": "y"})).encode().replace(b'"y"', b'"\xff"'), "malformed_json"),
    (json.dumps(event(id=7)).encode().replace(b'"/app"', b'"\xff"'), "malformed_json"),
    (b'{"id":' + b"[" * 9_000 + b"]" * 9_000 + b"}", "unstorable"),
    (event(data={"feature": "x" * 33_000}), "too_large"),
]


@pytest.mark.parametrize(("what", "expected"), ATTRIBUTES)
def test_an_envelope_that_is_not_as_it_must_be_is_rejected(what: Any, expected: str) -> None:
    assert reason(what) == expected


@pytest.mark.parametrize("media", [None, "application/json", "application/json; charset=utf-8", "application/x+json"])
def test_data_may_say_that_it_is_json(media: str | None) -> None:
    assert accepted(event(datacontenttype=media)).id == "e-1"


MOMENT_WRONG = ("soon", "2026-13-01", "2026-02-30", "2026-02-30T10:00:00Z", "2026-01-01T10:00:00", 5)
DATA = [
    *[("usage.feature_used", {"feature": "a", "quantity": wrong}) for wrong in (-1, "3", True, [1])],
    *[("usage.feature_used", {"feature": wrong}) for wrong in ("", " ", 4, "a\tb", "x" * 513, {})],
    ("usage.login", {"person": 42}),
    *[("usage.daily_total", {"feature": "a", "quantity": 1, "day": wrong}) for wrong in ("2026-02-30", "1.2.2026", 20)],
    *[("survey.answered", {"instrument": "nps", "score": wrong}) for wrong in ("9", -1, 11, True)],
    ("survey.answered", {"instrument": "nps", "score": 6.5}),
    ("survey.answered", {"instrument": "stars", "score": 4}),
    ("survey.answered", {"instrument": ["nps"], "score": 4}),
    *[("message.received", {"sentiment": wrong}) for wrong in (1.01, -2, "good")],
    *[("message.received", {"text": wrong}) for wrong in (7, ["a"])],
    ("message.received", {"people": "ann"}),
    ("meeting.held", {"people": ["ann", 7]}),
    ("meeting.held", {"minutes": -5}),
    ("ticket.opened", {"ticket": 4711}),
    *[("invoice.issued", {"amount": wrong, "currency": "EUR"}) for wrong in ("12", None, True)],
    *[("invoice.issued", {"amount": 1, "currency": wrong}) for wrong in ("eur", "EURO", 978)],
    *[("invoice.issued", {"amount": 1, "currency": "EUR", "due": wrong}) for wrong in MOMENT_WRONG],
    *[("promise.made", {"promise": "p", "due": wrong}) for wrong in MOMENT_WRONG],
    *[("price.change_planned", {"effective_at": wrong}) for wrong in MOMENT_WRONG],
    ("price.change_planned", {"effective_at": "2027-01-01", "change": {}}),
    ("promise.made", {"promise": "p", "due": "2027-01-01", "by": "me"}),
    *[("contract.signed", {"seats": wrong}) for wrong in (-1, 1.5, True, "5")],
    ("relationship.updated", {"domains": "example.com"}),
    ("relationship.updated", {"custom": []}),
    ("event.corrected", {"id": "e-1", "replacement": 7}),
    *[
        ("event.corrected", {"id": "e-1", "replacement": wrong})
        for wrong in (
            {},
            {"note": "nothing that is put right"},
            {"data": {}},
            {"type": "message.sent"},
            {"type": "message.sent", "data": []},
            {"type": "promise.made", "data": {"promise": "p"}},
            {"type": 7, "data": {}},
            {"type": "com.acme\x1b[31m", "data": {}},
            {"type": "x" * 513, "data": {}},
            {"type": "usage.login", "data": {}},
            {"type": "event.retracted", "data": {"id": "e-0"}},
            {"type": "message.sent", "data": {"sentiment": 5}},
            {"type": "message.sent", "data": {"sentiment": None}},
        )
    ],
    ("com.acme.thing", {"sentiment": "good"}),
    ("com.acme.thing", {"person": {}}),
    ("note.added", ["text"]),
    ("note.added", "text"),
]


@pytest.mark.parametrize(("name", "data"), DATA)
def test_data_that_is_not_as_its_type_demands_is_rejected(name: str, data: Any) -> None:
    assert reason(event(type=name, data=data)) in {"invalid_field", "missing_field"}


EXAMPLES: dict[str, Any] = {
    "name": "ann",
    "names": ["ann", "bob"],
    "text": "As agreed.",
    "number": -12.5,
    "count": 30,
    "quantity": 2.5,
    "whole": 12,
    "sentiment": 0.5,
    "object": {"any": "thing"},
    "day": "2026-09-01",
    "time": "2026-09-20T10:00:00Z",
    "moment": "2027-01-01T00:00:00+02:00",
    "replacement": {"time": "2026-09-20T10:00:00Z"},
    "currency": "EUR",
    "change": 0.2,
    "side": "them",
    "instrument": "csat",
}
"""A value of every kind."""

NAME_OF = {kind.words: name for name, kind in KINDS.items()}


def values_of(name: str, fields: Iterable[str]) -> dict[str, Any]:
    """A value for each of these fields of a type."""
    return {field: EXAMPLES[NAME_OF[EVENT_TYPES[name].fields[field].words]] for field in fields}


def test_every_kind_has_an_example_and_a_name_of_its_own() -> None:
    assert EXAMPLES.keys() == KINDS.keys()
    assert len(NAME_OF) == len(KINDS)
    assert all(kind.fits(EXAMPLES[name]) for name, kind in KINDS.items())


@pytest.mark.parametrize("name", [name for name, row in EVENT_TYPES.items() if row.required])
def test_every_required_field_is_asked_for_by_name(name: str) -> None:
    required = EVENT_TYPES[name].required
    assert accepted(event(type=name, data=values_of(name, required))).type == name
    for missing in required:
        found = answer(event(type=name, data=values_of(name, [field for field in required if field != missing])))
        assert isinstance(found, Rejection)
        assert (found.reason, f"`data.{missing}`" in found.detail) == ("missing_field", True)


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_field_of_a_type_is_checked(name: str) -> None:
    row = EVENT_TYPES[name]
    whole = values_of(name, row.fields)
    assert data_of(accepted(event(type=name, data=whole))) == whole
    for field, kind in row.fields.items():
        wrong = next(value for value in (-7.5, "7.5 ", []) if not kind.fits(value))
        found = answer(event(type=name, data={**whole, field: wrong}))
        assert isinstance(found, Rejection)
        assert found.detail == f"`data.{field}` must be {kind.words}."


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_a_type_is_a_family_and_what_happened_and_says_so_in_a_sentence(name: str) -> None:
    assert re.fullmatch(r"[a-z_]+\.[a-z_]+", name)
    assert re.fullmatch(r"[A-Z][^|\n]*\.", EVENT_TYPES[name].says)


def test_a_score_lies_where_its_instrument_says() -> None:
    assert accepted(event(type="survey.answered", data={"instrument": "csat", "score": 95})).type == "survey.answered"
    found = answer(event(type="survey.answered", data={"instrument": "nps", "score": 95}))
    assert isinstance(found, Rejection)
    assert found.detail == "`data.score` must be a whole number from 0 to 10 for nps."


@pytest.mark.parametrize(("instrument", "score"), [("nps", 9.0), ("enps", 6.5), ("csat", 4.5)])
def test_a_fraction_is_no_answer_to_nps_alone(instrument: str, score: float) -> None:
    assert accepted(event(type="survey.answered", data={"instrument": instrument, "score": score})).id == "e-1"


def test_a_daily_total_is_of_a_day_that_has_begun() -> None:
    data = {"feature": "export", "quantity": 4}
    assert accepted(event(type="usage.daily_total", data={**data, "day": "2026-09-22"})).id == "e-1"
    assert reason(event(type="usage.daily_total", data={**data, "day": "2026-09-23"})) == "future_time"


def test_a_replacement_is_held_to_the_contract_too() -> None:
    def corrected(**replacement: Any) -> dict[str, Any]:
        return event(type="event.corrected", data={"id": "e-0", "replacement": replacement})

    whole = corrected(type="message.sent", time="2026-09-20T10:00:00Z", data={"sentiment": 0.5})
    assert accepted(whole).type == "event.corrected"
    assert accepted(corrected(type="com.acme.thing", data={"anything": None})).type == "event.corrected"
    assert accepted(corrected(time="2026-09-20T00:00:00Z")).type == "event.corrected"
    assert reason(corrected(time="2026-09-20")) == "invalid_time"
    assert reason(corrected(time="2027-09-20T00:00:00Z")) == "future_time"
    assert reason(corrected(time=None)) == "invalid_time"
    assert reason(corrected(time=None, type="message.sent", data={})) == "invalid_time"
    found = answer(corrected())
    assert isinstance(found, Rejection)
    assert found.detail == (
        "`data.replacement` must be a JSON object with `type` and `data` together, with `time`, or with all three."
    )


@pytest.mark.parametrize(
    "data",
    [
        {"x": 2**63},
        {"x": [{"y": -(2**63) - 1}]},
        {"x": json.loads("[" * 32 + "]" * 32)},
    ],
)
def test_what_could_not_be_kept_as_it_is_is_rejected(data: Any) -> None:
    assert reason(event(type="note.added", data=data)) == "unstorable"


def test_numbers_of_64_bits_and_32_levels_are_taken() -> None:
    data = {"big": 2**63 - 1, "small": -(2**63), "deep": json.loads("[" * 31 + "]" * 31), "$os": {"a.b": 1, "": 2}}
    assert data_of(accepted(event(type="note.added", data=data))) == data


def test_the_id_is_told_where_it_can_be_read() -> None:
    assert event_id(json.dumps(event(time=5)).encode()) == "e-1"
    assert [event_id(raw) for raw in (b"{", b'{"id": 7}', b'{"id":"\xff"}', b"[1]", b"")] == [""] * 5
    assert len(event_id(json.dumps({"id": "x" * 9_000}).encode())) == 512


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
KNOWN = sorted({field for row in EVENT_TYPES.values() for field in row.fields})
ODD_EVENTS = st.fixed_dictionaries(
    {"type": st.sampled_from(sorted(EVENT_TYPES)) | st.text(max_size=10)},
    optional={
        "data": st.dictionaries(st.sampled_from(KNOWN), JSON_VALUES | st.sampled_from(list(EXAMPLES.values())))
        | JSON_VALUES,
        "id": JSON_VALUES,
        "time": JSON_VALUES,
        "subject": JSON_VALUES,
        "rapportbackfill": JSON_VALUES,
        "datacontenttype": JSON_VALUES,
    },
).map(lambda changes: event(**changes))


@given(JSON_VALUES | ODD_EVENTS)
def test_any_json_gets_an_answer(value: Any) -> None:
    found = answer(value)
    assert isinstance(found, Rejection) or msgspec.json.decode(msgspec.json.encode(found), type=Interaction) == found


@given(st.binary(max_size=200))
def test_any_bytes_get_an_answer(raw: bytes) -> None:
    assert isinstance(answer(raw), Rejection)


@settings(max_examples=examples(100))
@given(st.lists(ODD_EVENTS, max_size=6))
def test_no_item_of_a_batch_depends_on_another(items: list[dict[str, Any]]) -> None:
    raws = [json.dumps(item).encode() for item in items]
    alone = [accept(raw, index, TERMS) for index, raw in enumerate(raws)]
    together = accept_all(raws, TERMS)
    encoded = [msgspec.json.encode(found) for found in together]
    assert encoded == [msgspec.json.encode(found) for found in alone]


@given(st.text())
def test_control_characters_are_found_wherever_they_are(text: str) -> None:
    assert holds_control(text) == (CONTROL.search(text) is not None)
