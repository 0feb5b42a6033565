"""What is wrong with a setting is said in one line that names its variable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.domain.errors import Misconfigured
from shared.settings import read_settings
from shared.storage.mongo import MongoStore


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("RAPPORT_LOG_LEVEL", "loud", "Input should be 'debug', 'info', 'warning' or 'error'"),
        ("RAPPORT_PARTITIONS", "0", "Input should be greater than or equal to 1"),
        ("RAPPORT_MEMORY_MB", "lots", "Input should be a valid integer"),
        ("RAPPORT_INGEST_PORT", "99999", "Input should be less than or equal to 65535"),
        ("RAPPORT_KAFKA", "one:9092,two:port", "Value error, write HOST:PORT"),
        ("RAPPORT_METRICS_PORT", "-1", "Input should be greater than or equal to 0"),
    ],
)
def test_it_names_the_variable_and_what_would_fit(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(Misconfigured, match=f"^{name}: {said}"):
        read_settings()


def test_all_that_are_wrong_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_LOG_FORMAT", "xml")
    monkeypatch.setenv("RAPPORT_DEDUP_DAYS", "0")
    with pytest.raises(Misconfigured) as found:
        read_settings()
    assert [line.partition(":")[0] for line in str(found.value).splitlines()] == [
        "RAPPORT_LOG_FORMAT",
        "RAPPORT_DEDUP_DAYS",
    ]


def test_a_connection_string_that_is_none_is_said_without_showing_it() -> None:
    with pytest.raises(Misconfigured, match="RAPPORT_MONGO") as found:
        MongoStore("mongodb://user:secret@host:port", "rapport")
    assert "secret" not in str(found.value)


@pytest.mark.parametrize("value", ["localhost", "a:1,b:2", "[::1]:9092", "[::1]"])
def test_servers_are_taken_as_kafka_takes_them(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_KAFKA", value)
    assert read_settings().kafka == value


@pytest.mark.parametrize("name", ["", "a b", "a.b"])
def test_a_name_that_no_database_can_have_is_said(name: str) -> None:
    with pytest.raises(Misconfigured, match="RAPPORT_DATABASE"):
        MongoStore("mongodb://127.0.0.1:1", name)


@pytest.mark.parametrize(
    ("command", "status"),
    [(("scoring",), os.EX_CONFIG), (("ingest",), os.EX_CONFIG), (("up", "--embedded"), 1), (("init",), 1)],
)
def test_a_command_ends_with_it_and_no_traceback(command: tuple[str, ...], status: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from shared.cli.app import app; app()", *command],
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path), "RAPPORT_LOG_LEVEL": "loud"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("RAPPORT_LOG_LEVEL: ")
    assert "Traceback" not in done.stderr
