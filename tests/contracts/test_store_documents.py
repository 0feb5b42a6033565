"""What is stored comes back: any text, any key, any JSON, on every store."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from shared.domain.relationship.state import Directory
from shared.storage.documents import escape_key, parse, path, plain, unescape_key
from shared.storage.store import Store
from tests.contracts.stored import head_write

texts = some.text(some.characters(exclude_categories=["Cs"]))  # half a surrogate pair is not text, nor is it JSON
keys = texts | some.sampled_from(
    ["", ".", "$", "%", "%2E", "a.b", "$set", "__x", "_id", "a[0]", "'\"", "\x00", "tenant"]
)
numbers = some.integers(-(2**63), 2**63 - 1) | some.floats(allow_nan=False, allow_infinity=False)
values = some.recursive(
    some.none() | some.booleans() | numbers | texts,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
objects = some.dictionaries(keys, values, max_size=5)


@given(keys)
def test_keys_are_escaped_reversibly(key: str) -> None:
    escaped = escape_key(key)
    assert unescape_key(escaped) == key
    assert escaped
    assert not set(escaped) & set(".$[]\"'\\\x00")


@given(keys, keys)
def test_different_keys_stay_different(one: str, two: str) -> None:
    assert (escape_key(one) == escape_key(two)) == (one == two)


@given(objects)
def test_plain_values_are_read_back(custom: dict[str, Any]) -> None:
    assert parse(plain({"custom": custom}), Directory) == Directory(custom=custom)


def test_a_path_names_one_place() -> None:
    assert path("flags", "usage_drop/a.b") == "flags.usage_drop/a%2Eb"
    assert path("facts", "promises", "") == "facts.promises.%"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_only_finite_numbers_are_stored(value: float) -> None:
    for holder in (value, [value], [1, value], {"a": {"b": value}}):
        with pytest.raises(ValueError, match="only finite numbers"):
            plain(holder)


async def test_any_json_survives_the_store(store: Store) -> None:
    revisions: dict[str, int] = {}

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(objects, keys, values)
    def examples(custom: dict[str, Any], key: str, value: Any) -> None:
        drawn.append((custom, key, value))

    drawn: list[tuple[dict[str, Any], str, Any]] = []
    examples()
    assert len(drawn) >= 100
    for custom, key, value in drawn:
        base = revisions.get("r", 0)
        first = head_write("r", base=base, directory=Directory(custom=custom))
        second = head_write("r", base=base + 1, **{path("directory", "custom", key): [value]})
        assert await store.write([first]) == []
        assert (await store.states(["acme/r"]))["acme/r"].directory.custom == custom
        assert await store.write([second]) == []
        assert (await store.states(["acme/r"]))["acme/r"].directory.custom == {**custom, key: [value]}
        revisions["r"] = base + 2
