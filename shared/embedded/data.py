"""The data directory of an embedded stack: one stack at a time, its keys, and where it can be reached."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from shared.domain.errors import Misconfigured

PRIVATE = 0o600


class Secrets(msgspec.Struct, frozen=True):
    """Made on the first start and kept, readable for the owner alone: the store has the keys' hashes only."""

    tenant: str
    write_key: str
    api_key: str
    dashboard_secret: str


class Addresses(msgspec.Struct, frozen=True):
    """Where a running stack answers (http URLs, Kafka as host:port), with its keys: what `--ready-file` holds."""

    api: str
    dashboard: str
    ingest: str
    kafka: str
    mongo: str
    write_key: str
    api_key: str
    tenant: str


class Running(msgspec.Struct, frozen=True):
    """A stack that runs or ran: its supervisor's process id, and probes (process name → URL or host:port). No keys."""

    pid: int
    probes: Mapping[str, str]


def default_directory(environment: Mapping[str, str]) -> Path:
    """`~/.local/share/rapport`, or under XDG_DATA_HOME."""
    base = environment.get("XDG_DATA_HOME") or os.path.join(environment.get("HOME") or "~", ".local", "share")
    return Path(base).expanduser() / "rapport"


class DataDirectory:
    """Files of one embedded stack under `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.mongo = self.path / "mongo"
        self.simulator = self.path / "simulator.json"
        self._lock = self.path / "lock"
        self._secrets = self.path / "keys.json"
        self._running = self.path / "running.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the directory and hold it. Raises Misconfigured where another stack holds it or it cannot be made."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self._lock, os.O_RDWR | os.O_CREAT, PRIVATE)
        except OSError as error:
            raise Misconfigured(
                f"{self.path} cannot be used ({error.strerror}): choose another with --data."
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misconfigured(
                f"Another stack runs on {self.path} already: stop it, or choose another directory with --data."
            ) from None
        else:
            yield
        finally:
            os.close(handle)

    def is_locked(self) -> bool:
        """Whether a stack runs on this directory now."""
        try:
            handle = os.open(self._lock, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def keeps(self, file: Path) -> bool:
        """Whether this is a file that the stack keeps here for itself, by whatever path."""
        real = os.path.realpath(file)
        mine = {os.path.realpath(one) for one in (self._secrets, self._running, self._lock, self.simulator)}
        return real in mine or Path(real).is_relative_to(os.path.realpath(self.mongo))

    def secrets(self) -> Secrets | None:
        return _read(self._secrets, Secrets)

    def keep_secrets(self, secrets: Secrets) -> None:
        write_private(self._secrets, secrets)

    def running(self) -> Running | None:
        return _read(self._running, Running)

    def keep_running(self, running: Running) -> None:
        write_private(self._running, running)


Document = Secrets | Addresses | Running
Kind = TypeVar("Kind", Secrets, Running)


def write_private(path: Path, document: Document) -> None:
    """Write JSON that only the owner can read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    temporary.replace(path)


def _read(path: Path, kind: type[Kind]) -> Kind | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise Misconfigured(f"{path} cannot be read ({error}): delete it, and a new one is made.") from error
