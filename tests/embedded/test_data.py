"""The data directory: one stack at a time, secrets for the owner alone, made once."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from shared.domain.errors import Misconfigured
from shared.domain.keys import matches, parse_key
from shared.embedded.data import DataDirectory, Running, default_directory
from shared.embedded.keyring import ensure_secrets, own_secrets
from shared.storage.memory import MemoryStore


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HOME": "/home/ada"}, "/home/ada/.local/share/rapport"),
        ({"HOME": "/home/ada", "XDG_DATA_HOME": "/srv/data"}, "/srv/data/rapport"),
        ({"HOME": "/home/ada", "XDG_DATA_HOME": ""}, "/home/ada/.local/share/rapport"),
    ],
)
def test_the_default_directory_follows_the_environment(environment: dict[str, str], expected: str) -> None:
    assert default_directory(environment) == Path(expected)


def test_two_stacks_do_not_share_a_directory(tmp_path: Path) -> None:
    first, second = DataDirectory(tmp_path / "data"), DataDirectory(tmp_path / "data")
    assert not second.is_locked()
    with first.locked():
        assert second.is_locked()
        with pytest.raises(Misconfigured, match=r"Another stack runs on .*data already.*--data"), second.locked():
            pass
    assert not second.is_locked()
    with second.locked():
        assert first.is_locked()


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match=r"cannot be used.*--data"), DataDirectory(tmp_path / "file").locked():
        pass


def test_secrets_are_made_once_and_only_the_owner_can_read_them(tmp_path: Path) -> None:
    made = own_secrets(DataDirectory(tmp_path))
    assert own_secrets(DataDirectory(tmp_path)) == made
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert made.tenant == "demo"
    assert [parse_key(text)[0] for text in (made.write_key, made.api_key)] == ["write", "api"]  # type: ignore[index]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "running.json").write_text("{")
    with pytest.raises(Misconfigured, match=r"running\.json cannot be read.*delete it"):
        DataDirectory(tmp_path).running()


def test_what_runs_is_remembered(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    assert data.running() is None
    data.keep_running(Running(7, {"api": "http://127.0.0.1:1/readyz"}))
    assert data.running() == Running(7, {"api": "http://127.0.0.1:1/readyz"})


async def test_the_store_learns_the_keys_by_their_hashes_alone(tmp_path: Path) -> None:
    secrets, store = own_secrets(DataDirectory(tmp_path)), MemoryStore()
    await ensure_secrets(store, secrets, at=5)
    await ensure_secrets(store, secrets, at=9)  # the second start finds them there
    stored = {key.kind: key for key in await store.list_keys("demo")}
    assert set(stored) == {"write", "api"}
    for text in (secrets.write_key, secrets.api_key):
        kind, id, secret = parse_key(text) or ("", "", "")
        assert stored[kind].id == id
        assert stored[kind].created_at == 5
        assert matches(secret, stored[kind].hash)
        assert secret not in repr(stored[kind])
