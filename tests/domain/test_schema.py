"""The published schema is the one in force, and agrees with what is accepted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from jsonschema import Draft202012Validator

from shared.domain.contract.accepting import Rejection
from shared.domain.contract.guide import BEGIN, with_types
from shared.domain.contract.schema import event_schema
from shared.domain.contract.types import EVENT_TYPES
from tests.domain.test_contract import ATTRIBUTES, DATA, ODD_EVENTS, answer, event, values_of

DOCS = Path(__file__).parents[2] / "docs" / "schema"
GUIDE = DOCS.parent / "sending-events.md"
SCHEMA = Draft202012Validator(event_schema(), format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_the_file_is_current() -> None:
    written = json.loads((DOCS / "event.schema.json").read_text(encoding="utf-8"))
    assert written == event_schema(), "run: .venv/bin/python docs/schema/write.py"


def test_the_guide_lists_the_types_there_are() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    assert guide == with_types(guide), "run: .venv/bin/python docs/schema/write.py"


def test_a_guide_without_marks_is_not_written_to() -> None:
    with pytest.raises(ValueError, match="where the list of types belongs"):
        with_types(f"# A guide\n\n{BEGIN}\n")


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(event_schema())


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_an_example_of_every_type_is_valid_and_accepted(name: str) -> None:
    row = EVENT_TYPES[name]
    for fields in (row.required, row.fields):
        example = event(type=name, data=values_of(name, fields))
        SCHEMA.validate(example)
        assert not isinstance(answer(example), Rejection)


# What the schema does not say: sizes, how the clock stands, what cannot be parsed or stored.
BEYOND = {"too_large", "future_time", "malformed_json", "unstorable", "unsupported_data"}
TIMES_TOO_ODD = ("2026-09-31T12:00:00Z", "2026-09-21T23:59:60Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00+10:00")


@given(ODD_EVENTS)
def test_what_is_accepted_is_valid(what: dict[str, Any]) -> None:
    assert isinstance(answer(what), Rejection) or SCHEMA.is_valid(what)


@pytest.mark.parametrize("what", [what for what, reason in ATTRIBUTES if reason not in BEYOND and type(what) is dict])
def test_what_is_wrong_in_the_envelope_is_invalid(what: dict[str, Any]) -> None:
    assert SCHEMA.is_valid(what) == (what.get("time") in TIMES_TOO_ODD)


@pytest.mark.parametrize(("name", "data"), DATA)
def test_what_is_wrong_in_data_is_invalid(name: str, data: Any) -> None:
    beyond = (
        "2026-02-30T10:00:00Z" in repr(data)
        or (name == "survey.answered" and data["score"] in (-1, 6.5, 11))  # what NPS allows
        or (name == "event.corrected" and "None" in repr(data))  # known fields of an event may be null, not of this one
    )
    assert SCHEMA.is_valid(event(type=name, data=data)) == beyond


@pytest.mark.parametrize(
    "replacement",
    [
        {"time": "2026-09-20T10:00:00Z"},
        {"type": "message.sent", "data": {}},
        {"type": "com.acme.thing", "data": {"anything": None}, "time": "2026-09-20T10:00:00Z"},
        {"type": "promise.made", "data": {"promise": "p", "due": "2027-01-01"}, "note": "kept"},
    ],
)
def test_what_may_replace_an_event_is_valid_and_accepted(replacement: dict[str, Any]) -> None:
    example = event(type="event.corrected", data={"id": "e-0", "replacement": replacement})
    SCHEMA.validate(example)
    assert not isinstance(answer(example), Rejection)


@pytest.mark.parametrize("time", [None, 7, "2026-09-20", "soon"])
def test_a_time_that_is_none_replaces_none(time: Any) -> None:
    example = event(type="event.corrected", data={"id": "e-0", "replacement": {"time": time}})
    assert not SCHEMA.is_valid(example)
    assert isinstance(answer(example), Rejection)


def test_the_inbox_is_described_with_this_schema() -> None:
    described = yaml.safe_load((DOCS / "asyncapi.yaml").read_text(encoding="utf-8"))
    assert described["channels"]["inbox"]["address"] == "rapport.inbox"
    payload = described["components"]["messages"]["structured"]["payload"]
    assert (DOCS / payload["schema"]["$ref"]).is_file()


def test_what_the_guide_sends_is_valid_and_accepted() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    sent = [each for batch in re.findall(r"-d '(\[.*?\])'", guide, re.DOTALL) for each in json.loads(batch)]
    assert {each["type"] for each in sent} >= {"event.retracted", "event.corrected", "usage.daily_total"}
    for each in sent:
        SCHEMA.validate(each)
        assert not isinstance(answer(each), Rejection), each
