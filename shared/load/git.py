"""A repository's history: contributors become relationships of kind community, commits their contributions."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from shared.domain.contract.events import DAY, MAX_NAME, SECOND, Millis
from shared.domain.contract.kinds import CONTROL
from shared.domain.errors import Misconfigured
from shared.load.outgoing import Loaded, Outgoing, Rejection, encode_event

# Hash, author's mail and name (both as .mailmap corrects them), author and committer date, subject; NUL after each.
_FORMAT = "%H%x00%aE%x00%aN%x00%at%x00%ct%x00%s"
_FIELDS = 6
_CHUNK = 1 << 16
_MAX_TEXT = 500


class GitHistory:
    """Non-merge commits of a branch, oldest first. Ids are commit hashes, and the source is the history's root.

    So clones, forks and other branches of the same history load as the same events. The time is the author's: when
    somebody did the work says more about them than when a maintainer rebased it. An author's clock that is ahead of
    the committer's is wrong, and the commit's own time is taken.
    """

    def __init__(self, path: Path, branch: str, since: str, backfill: bool) -> None:
        if not path.is_dir():
            raise Misconfigured(f"there is no directory {path}")
        self._path = path
        if _git(path, "rev-parse", "--is-shallow-repository") == "true":
            raise Misconfigured(f"{path} is a shallow clone, its history is cut off: run `git fetch --unshallow` there")
        self.head = _git(path, "rev-parse", "--verify", "--end-of-options", f"{branch}^{{commit}}")
        root = _git(path, "rev-list", "--first-parent", "--max-parents=0", self.head)
        self.name = f"git:{root}"
        self._selection = ["--no-merges", *([f"--since={since}"] if since else []), self.head]
        self.total = int(_git(path, "rev-list", "--count", *self._selection))
        self.additive: set[str] = set()
        self.repository = _repository_name(path)
        self._backfill = backfill
        self._names: dict[str, str] = {}  # by mail: the name last said

    def read(self) -> Iterator[Loaded]:
        for number, fields in enumerate(self._commits(), 1):
            yield self._commit(number, *fields)

    def _commits(self) -> Iterator[list[str]]:
        command = [
            _program(),
            "-C",
            str(self._path),
            "log",
            "-z",
            "--reverse",
            "--encoding=UTF-8",
            f"--format={_FORMAT}",
        ]
        with subprocess.Popen([*command, *self._selection], stdout=subprocess.PIPE) as process:  # noqa: S603 (no shell)
            if process.stdout is None:
                raise AssertionError("stdout is a pipe")
            rest = b""
            fields: list[bytes] = []
            while chunk := process.stdout.read(_CHUNK):
                *whole, rest = (rest + chunk).split(b"\0")
                fields += whole
                ready = len(fields) // _FIELDS * _FIELDS
                for at in range(0, ready, _FIELDS):
                    yield [field.decode(errors="replace") for field in fields[at : at + _FIELDS]]
                del fields[:ready]
            if rest:
                fields.append(rest)
            if len(fields) == _FIELDS:
                yield [field.decode(errors="replace") for field in fields]
        if process.returncode:
            raise Misconfigured(f"git log in {self._path} failed ({process.returncode}); what it said stands above")

    def _commit(self, number: int, commit: str, mail: str, name: str, author: str, committer: str, text: str) -> Loaded:
        time = _time(author, committer)
        subject = _name(mail).lower() or _name(name)
        if time is None or not subject:
            what = "has no usable time" if subject else "has an author without mail address and name"
            problem = Rejection(number, "unusable_commit", f"commit {commit} {what}", id=commit)
            return Loaded(number, problems=(problem,), done=number)
        events: list[Outgoing] = []
        name = _name(name)
        if name and self._names.get(subject) != name:
            self._names[subject] = name
            data = {"name": name, "kind": "community"}
            events.append(self._event(number, f"author/{commit}", "relationship.updated", subject, time, data))
        contribution = {"channel": "git", "person": subject, "text": text[:_MAX_TEXT], "repository": self.repository}
        events.append(self._event(number, commit, "contribution.made", subject, time, contribution))
        return Loaded(number, tuple(events), done=number)

    def _event(self, line: int, id: str, type: str, subject: str, time: Millis, data: dict[str, str]) -> Outgoing:
        return encode_event(
            line=line,
            id=id,
            source=self.name,
            type=type,
            subject=subject,
            time=time,
            data=data,
            backfill=self._backfill,
        )


def _time(author: str, committer: str) -> Millis | None:
    """The author's time unless it is missing, before 1970 or more than a day ahead of the commit's."""
    times = [int(text) * SECOND if text.isdigit() and len(text) < 12 else 0 for text in (author, committer)]
    authored, committed = times
    if committed and (authored == 0 or authored > committed + DAY):
        return committed
    return authored or None


def _name(text: str) -> str:
    return " ".join(CONTROL.sub(" ", text).split())[:MAX_NAME]


def _repository_name(path: Path) -> str:
    """The base name of where it came from, or of its directory."""
    origin = _git(path, "config", "--default", "", "--get", "remote.origin.url")
    top = _git(path, "rev-parse", "--git-common-dir")
    directory = (path / top).resolve()
    place = Path(origin.rstrip("/")) if origin else directory.parent if directory.name == ".git" else directory
    return place.name.removesuffix(".git")


def _git(path: Path, *arguments: str) -> str:
    """What a git command prints; `Misconfigured` with git's own words if it fails."""
    command = [_program(), "-C", str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (no shell)
    if done.returncode:
        raise Misconfigured(f"{path}: git {arguments[0]} failed: {done.stderr.strip() or done.returncode}")
    return done.stdout.strip()


def _program() -> str:
    program = shutil.which("git")
    if program is None:
        raise Misconfigured("git is not installed; loading a repository needs it on the PATH")
    return program
