"""Keys: what is written parses again, what is not a key is refused, and only the right secret matches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.keys import API, WRITE, checked_tenant, format_key, hash_secret, matches, parse_key

SECRET = "Zm9vYmFyYmF6cXV4_-1234567890abcdef"


@pytest.mark.parametrize("kind", [WRITE, API])
def test_a_key_parses_into_what_it_was_made_of(kind: str) -> None:
    assert parse_key(format_key(kind, "demo-1", SECRET)) == (kind, "demo-1", SECRET)


@given(st.text())
def test_any_other_text_is_no_key(text: str) -> None:
    assert parse_key(text) is None or text.startswith("rk_")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rk_write_demo",
        "rk_admin_demo_" + SECRET,
        "rk_write__" + SECRET,
        "rk_write_demo_short",
        f"rk_write_demo_{SECRET}\n",
        f" rk_write_demo_{SECRET}",
        "rk_write_de/mo_" + SECRET,
        "rk_write_demo_" + "x" * 129,
    ],
)
def test_a_text_that_is_nearly_a_key_is_none(text: str) -> None:
    assert parse_key(text) is None


@pytest.mark.parametrize(("kind", "id", "secret"), [("root", "a", SECRET), ("api", "a_b", SECRET), ("api", "a", "x")])
def test_a_key_that_would_not_parse_is_not_made(kind: str, id: str, secret: str) -> None:
    with pytest.raises(ValueError, match="a key needs"):
        format_key(kind, id, secret)


def test_only_the_secret_itself_matches_its_hash() -> None:
    stored = hash_secret(SECRET)
    assert matches(SECRET, stored)
    assert not matches(SECRET + "x", stored)
    assert not matches(SECRET, "")
    assert SECRET not in stored


@pytest.mark.parametrize("name", ["acme", "a", "Acme-2.test_eu", "x" * 64])
def test_a_tenant(name: str) -> None:
    assert checked_tenant(name) == name


@pytest.mark.parametrize("name", ["", "a/b", "-a", ".a", "a b", "a\n", "\x00clock", "\u00e4", "x" * 65])
def test_no_tenant(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a tenant"):
        checked_tenant(name)
