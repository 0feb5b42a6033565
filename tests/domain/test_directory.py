"""The later word wins, field by field, in whichever order words arrive."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.contract.events import JsonObject
from shared.domain.contract.types import EVENT_TYPES
from shared.domain.relationship.directory import CUSTOM_KEPT, updated
from shared.domain.relationship.state import Directory


def after(*words: tuple[int, JsonObject]) -> Directory:
    directory = Directory()
    for at, data in words:
        directory = updated(directory, data, at)
    return directory


def test_every_field() -> None:
    said = {
        "name": "Acme",
        "kind": "partner",
        "type": "bff",
        "segment": "large",
        "tier": "gold",
        "owner": "kim",
        "stage": "build",
        "status": "active",
        "parent": "holding",
        "renewal_date": "2027-01-01",
        "seats": 12.0,
        "domains": ["acme.example"],
        "custom": {"calendar": "everyday"},
        "unheard_of": 1,
    }
    known = msgspec.json.decode(msgspec.json.encode(after((5, said))))
    assert known == {
        **{name: said[name] for name in said if name not in ("seats", "domains", "unheard_of")},
        "seats": 12,
        "domains": ["acme.example"],
        "at": 5,
        "said_at": dict.fromkeys(
            [*(name for name in said if name not in ("custom", "unheard_of")), "custom.calendar"], 5
        ),
    }


def test_it_knows_what_the_contract_lets_one_say() -> None:
    known = {field.name for field in msgspec.structs.fields(Directory)}
    assert EVENT_TYPES["relationship.updated"].fields.keys() == known - {"at", "said_at"}


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        ([(1, {"owner": "kim"}), (2, {"owner": "lee"})], "owner", "lee"),
        ([(2, {"owner": "lee"}), (1, {"owner": "kim"})], "owner", "lee"),
        ([(2, {"owner": "lee"}), (2, {"owner": "kim"})], "owner", "kim"),
        ([(2, {"owner": "lee"}), (3, {})], "owner", "lee"),
        # a late word that is not the latest, about a field that the latest was not about
        ([(1, {"seats": 5}), (3, {"owner": "kim"}), (2, {"seats": 9})], "seats", 9),
        # nobody has said that it is a customer: that is what it is taken for
        ([(3, {"name": "Acme"}), (2, {"kind": "partner"})], "kind", "partner"),
        ([(2, {"seats": 5}), (3, {"seats": 0}), (1, {"seats": 9})], "seats", 0),
        ([(2, {"custom": {"a": 1, "b": 1}}), (1, {"custom": {"a": 2, "c": 2}})], "custom", {"a": 1, "b": 1, "c": 2}),
        ([(1, {"custom": {"a": 1, "b": 1}}), (2, {"custom": {"a": 2}})], "custom", {"a": 2, "b": 1}),
    ],
)
def test_a_field(words: list[tuple[int, JsonObject]], field: str, value: object) -> None:
    assert getattr(after(*words), field) == value


words = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from("ab"),
            "kind": st.sampled_from(("customer", "partner")),
            "seats": st.integers(0, 3),
            "custom": st.dictionaries(st.sampled_from("xy"), st.integers(0, 3)),
        },
    ),
    max_size=5,
)


@settings(max_examples=50, deadline=None)
@given(words, st.randoms())
def test_the_order_of_arrival_does_not_matter(words: list[JsonObject], random: Random) -> None:
    published = list(enumerate(words, 1))
    shuffled = list(published)
    random.shuffle(shuffled)
    assert after(*shuffled) == after(*published)


def test_of_too_many_custom_fields_the_oldest_go() -> None:
    words = [(number, {"custom": {f"field-{number:03}": number}}) for number in range(CUSTOM_KEPT + 2)]
    known = after(*words)
    assert sorted(known.custom) == [f"field-{number:03}" for number in range(2, CUSTOM_KEPT + 2)]
    assert set(known.said_at) == {f"custom.{name}" for name in known.custom}
