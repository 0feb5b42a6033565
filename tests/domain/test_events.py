"""What makes an event the same event."""

from __future__ import annotations

import pytest

from shared.domain.contract.events import event_key


@pytest.mark.parametrize(
    ("source", "id", "key"),
    [("crm", "17", "crm#17"), ("crm", "a#b", "crm#a#b"), ("crm#eu", "17", "crm%23eu#17"), ("50%", "17", "50%25#17")],
)
def test_the_first_hash_ends_the_source(source: str, id: str, key: str) -> None:
    assert event_key(source, id) == key
