"""The command line as people type it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.domain.keys import parse_key
from shared.embedded.data import DataDirectory
from shared.embedded.ports import LOOPBACK, free_port

pytestmark = pytest.mark.embedded
SECONDS = 60


def rapport(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from shared.cli.app import app; app()", *arguments],
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_help_names_every_command() -> None:
    done = rapport("--help")
    assert done.returncode == 0
    commands = [
        "up",
        "demo",
        "doctor",
        "init",
        "ingest",
        "scoring",
        "alerts",
        "api",
        "keys",
        "load",
        "log",
        "partitions",
        "playbook",
        "replay",
        "quarantine",
    ]
    assert not [command for command in commands if not re.search(rf"^\W*{command}\s", done.stdout, re.MULTILINE)]


def test_up_asks_what_to_run_on() -> None:
    done = rapport("up", "--kafka", "127.0.0.1:9092")
    assert done.returncode == 1
    assert "Say --embedded" in done.stderr


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that something listens on: a stack that wants it ends before it has started anything."""
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        yield server.getsockname()[1]


def up(data: Path, port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`rapport up --embedded` with this port for the API."""
    return rapport(
        *("up", "--embedded", "--data", str(data), "--api-port", str(port), "--ingest-port", "0", *arguments),
        *("--kafka-port", "0", "--mongo-port", "0", "--scoring-metrics-port", "0", "--alerts-metrics-port", "0"),
    )


def test_up_names_a_port_that_is_taken(tmp_path: Path, taken_port: int) -> None:
    done = up(tmp_path, taken_port)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Port {taken_port} is taken: choose another with --api-port")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["keys.json", "running.json", "simulator.json", "lock", "mongo/rapport.db"])
def test_up_does_not_take_a_file_of_its_own_for_the_ready_file(tmp_path: Path, taken_port: int, name: str) -> None:
    data, file = tmp_path / "data", tmp_path / "data" / name
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    (tmp_path / "other").symlink_to(data)
    done = up(data, taken_port, "--ready-file", str(tmp_path / "other" / name))
    assert (done.returncode, file.read_text()) == (1, "{}")
    assert f"--ready-file {tmp_path / 'other' / name} is a file of the data directory's own" in done.stderr


@pytest.mark.parametrize("name", ["pipe", "link", "directory"])
def test_up_removes_only_a_file_to_write_a_ready_file(tmp_path: Path, taken_port: int, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "directory").mkdir()
    done = up(tmp_path / "data", taken_port, "--ready-file", str(tmp_path / name))
    assert (done.returncode, os.path.lexists(tmp_path / name)) == (1, True)
    assert done.stderr == f"--ready-file {tmp_path / name} is there and no ordinary file: name another\n"


def test_up_refuses_a_directory_that_another_stack_holds(tmp_path: Path) -> None:
    with DataDirectory(tmp_path).locked():
        done = rapport("up", "--embedded", "--data", str(tmp_path))
    assert done.returncode == 1
    assert "Another stack runs" in done.stderr


def test_doctor_says_how_to_start_what_does_not_run_and_fails_where_that_could_not_start(tmp_path: Path) -> None:
    done = rapport("doctor", "--data", str(tmp_path))
    assert "note stack " in done.stdout
    assert done.returncode == ("\nBAD " in done.stdout)  # a program of this machine may hold a port
    nowhere = f"mongodb://{LOOPBACK}:{free_port()}"
    assert rapport("doctor", "--data", str(tmp_path), "--mongo", nowhere).returncode == 1


def test_init_creates_topics_once(fresh_tansu: str, fresh_mongo_url: str, database: str) -> None:
    where = {
        "RAPPORT_KAFKA": fresh_tansu,
        "RAPPORT_MONGO": fresh_mongo_url,
        "RAPPORT_DATABASE": database,
        "RAPPORT_PARTITIONS": "2",
    }
    first, second = rapport("init", **where), rapport("init", **where)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "Created: rapport.alerts" in first.stdout
    assert second.stdout == "Created: nothing, all topics exist\nNew incarnation: none\n"
    refused = rapport("init", **{**where, "RAPPORT_PARTITIONS": "4"})
    assert refused.returncode == 1
    assert "set RAPPORT_PARTITIONS (or --partitions) to 2" in refused.stderr


def test_init_without_servers_says_so() -> None:
    nowhere = f"{LOOPBACK}:{free_port()}"
    done = rapport("init", RAPPORT_KAFKA=nowhere, RAPPORT_MONGO=f"mongodb://{nowhere}")
    assert done.returncode == 1
    assert "does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_keys_are_created_listed_and_revoked(fresh_mongo_url: str, database: str) -> None:
    where = {"RAPPORT_MONGO": fresh_mongo_url, "RAPPORT_DATABASE": database}
    made = rapport("keys", "create", "--tenant", "acme", "--kind", "write", "--name", "warehouse", **where)
    assert made.returncode == 0, made.stderr
    kind, id, secret = parse_key(made.stdout.strip()) or ("", "", "")
    assert kind == "write"

    listed = rapport("keys", "list", "--tenant", "acme", **where)
    assert re.search(rf"^{id}  write  warehouse  \d{{4}}-\d\d-\d\d \d\d:\d\d$", listed.stdout, re.MULTILINE)
    assert secret not in listed.stdout
    assert id not in rapport("keys", "list", "--tenant", "other", **where).stdout

    assert rapport("keys", "revoke", "--tenant", "other", id, **where).returncode == 1
    assert rapport("keys", "revoke", "--tenant", "acme", id, **where).stdout == f"Key {id} is revoked.\n"
    listed = rapport("keys", "list", "--tenant", "acme", **where)
    assert re.search(rf"^{id} .*\d\d:\d\d  \d{{4}}-\d\d-\d\d \d\d:\d\d$", listed.stdout, re.MULTILINE)


def test_a_tenant_with_a_slash_is_refused_since_it_could_read_anothers_relationships() -> None:
    made = rapport("keys", "create", "--tenant", "acme/eu", "--kind", "write")
    assert (made.returncode, made.stdout) == (1, "")
    assert "cannot name a tenant" in made.stderr
