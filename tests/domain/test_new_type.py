"""An event type is added as docs/extending.md says: by one row, and nothing else."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from shared.domain.contract import demands, types
from shared.domain.contract.accepting import Rejection
from shared.domain.contract.declaration import Direction, usage
from shared.domain.contract.guide import types_listed
from shared.domain.contract.schema import event_schema
from shared.domain.contract.types import EVENT_TYPES
from shared.domain.contract.uses import PLAIN_USE, plain_uses
from tests.domain.builders import Desk, at
from tests.domain.test_contract import accepted, answer, event

GUIDE = Path(__file__).parents[2] / "docs" / "extending.md"
NAME = "training.held"
DATA = {"course": "basics", "enrolled": 9, "completed": 7, "minutes": 90, "people": ["ana", "bob"], "room": "4.2"}
NOON = at("2026-06-01T12:00:00Z")


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worked example of the guide is in the table."""
    section = GUIDE.read_text(encoding="utf-8").split("## An event type\n")[1].split("\n## ")[0]
    row, demand = (textwrap.dedent(block) for block in re.findall(r"```python\n(.*?) *```", section, re.DOTALL))
    names: dict[str, Any] = {**vars(demands), **vars(types)}
    exec(demand, names)
    added = eval(f"{{{row}}}", names)
    assert list(added) == [NAME]
    monkeypatch.setitem(EVENT_TYPES, NAME, added[NAME])


def training(**changes: Any) -> dict[str, Any]:
    return event(type=NAME, data={**DATA, **changes})


def is_valid(what: dict[str, Any]) -> bool:
    return Draft202012Validator(event_schema()).is_valid(what)


def test_it_is_accepted() -> None:
    assert accepted(training()).type == NAME
    assert is_valid(training())


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        (
            {"course": None},
            "training.held needs `data.course`: a text of 1 to 512 characters without control characters.",
        ),
        ({"enrolled": 2.5}, "`data.enrolled` must be a whole number of at least 0."),
        ({"minutes": -1}, "`data.minutes` must be a finite number of at least 0."),
        ({"sentiment": 2}, "`data.sentiment` must be a number from -1 to 1."),
    ],
)
def test_its_fields_are_checked_and_in_the_schema(changes: dict[str, Any], detail: str) -> None:
    found = answer(training(**changes))
    assert isinstance(found, Rejection)
    assert found.detail == detail
    assert not is_valid(training(**changes))


def test_what_it_demands_beyond_one_field_is_checked() -> None:
    found = answer(training(completed=10))
    assert isinstance(found, Rejection)
    assert found.detail == "`data.completed` must not be more than `data.enrolled`."


def test_it_may_replace_an_event() -> None:
    for data in (DATA, {**DATA, "completed": 10}):
        what = event(type="event.corrected", data={"id": "e-0", "replacement": {"type": NAME, "data": data}})
        assert isinstance(answer(what), Rejection) == (data is not DATA)


def test_senders_are_told_of_it() -> None:
    line = next(line for line in types_listed().splitlines() if NAME in line)
    said, data = "We trained some of them.", line.split(" | ")[4]
    assert line == f"| `{NAME}` | touchpoint | both | {said} | {data}"
    assert data == "**`course`** (name), **`enrolled`** (whole), **`completed`** (whole), `minutes` (count) |"


def test_it_is_contact() -> None:
    desk = Desk()
    desk.say(NAME, NOON, **DATA)
    facts = desk.state.facts
    assert (facts.last_in, facts.last_out, set(facts.people)) == (NOON, NOON, {"ana", "bob"})
    assert [entry.direction for entry in desk.row.pending.values()] == [Direction.MUTUAL]


def test_usage_that_demands_no_more_than_a_feature_is_a_plain_use() -> None:
    more = {"usage.exported": usage("They exported."), "usage.shared": usage("They shared.", {}, lambda *what: None)}
    assert plain_uses({**EVENT_TYPES, **more}) == {**PLAIN_USE, "usage.exported": "exported"}
    assert PLAIN_USE == {"usage.feature_used": "", "usage.login": "login", "usage.api_called": "api_called"}
