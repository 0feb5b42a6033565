"""Files that commands write where an option says: never one that is read, and an earlier one stays until a run is over.

What is no regular file (a pipe, a terminal), and the command's own standard output, is written as the lines come.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from shared.clock import new_id
from shared.domain.errors import Misconfigured

Named = tuple[str, Path | None]
"""An option, and the file that it names, if it does."""

SHOWN_OF_NAME = 40  # characters of a file's name that its temporary one begins with: names must not become too long


def keep_apart(outputs: Sequence[Named], inputs: Sequence[Named]) -> None:
    """Raise Misconfigured where an output is an input, too, or another output, by whatever name."""
    named = [(option, path) for option, path in inputs if path is not None]
    for option, path in outputs:
        if path is None:
            continue
        for other, theirs in named:
            if _same(path, theirs):
                raise Misconfigured(
                    f"{option} {path} is the same file as {other} {theirs}: name another file to write to"
                )
        named.append((option, path))


def _same(one: Path, other: Path) -> bool:
    try:
        same = os.path.samefile(one, other)
    except OSError:  # one of them is not there
        return os.path.realpath(one) == os.path.realpath(other)
    return same and not one.is_char_device()  # nothing is lost by what goes to a terminal, or to /dev/null


def open_stream(path: Path) -> IO[bytes] | None:
    """What to write to where the path leads to standard output or to no regular file; None for an ordinary file."""
    found = _found(path)
    if found is None:
        return None
    for own in (1, 2):
        with suppress(OSError):  # it may be closed
            if os.path.samestat(found, os.fstat(own)):
                return os.fdopen(os.dup(own), "wb")  # opened anew, it would be written from its beginning
    return None if stat.S_ISREG(found.st_mode) else path.open("wb")


def _found(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


@contextmanager
def or_cannot_write(option: str, path: Path) -> Iterator[None]:
    """An error of the file system becomes Misconfigured, which names the option and the file."""
    try:
        yield
    except OSError as error:
        raise Misconfigured(f"cannot write {option} {path}: {error.strerror}") from error


class Outputs:
    """The files that a run writes: they take their places together when it ends well, and are gone when it does not."""

    def __init__(self) -> None:
        self._files: list[_Output] = []

    def lines_into(self, option: str, path: Path) -> Callable[[bytes], None]:
        """A function that writes a line there. Raises Misconfigured, as that function does, where it cannot be done."""
        with or_cannot_write(option, path):
            output = _Output(option, path)
        self._files.append(output)
        return output.write

    def __enter__(self) -> Outputs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                for one in self._files:
                    one.finish()
                for one in self._files:
                    one.take_place()
        finally:
            for one in self._files:
                one.discard()


class _Output:
    """A stream, or a temporary file beside the one that is to be written."""

    def __init__(self, option: str, path: Path) -> None:
        self._named = option, path
        self._target = Path(os.path.realpath(path))  # a link stays one, and leads to what is written
        self._fresh: Path | None = None
        stream = open_stream(path)
        if stream is None:
            self._fresh = self._target.with_name(f".{self._target.name[:SHOWN_OF_NAME]}.{new_id()}")
            stream = _opened_for(self._target, self._fresh)
        self._file = stream

    def write(self, line: bytes) -> None:
        with or_cannot_write(*self._named):
            self._file.write(line + b"\n")
            if self._fresh is None:
                self._file.flush()  # who reads along gets whole lines, at once

    def finish(self) -> None:
        """See that all that was written has arrived."""
        with or_cannot_write(*self._named):
            self._file.close()

    def take_place(self) -> None:
        """Put the temporary file where it belongs."""
        if self._fresh is None:
            return
        with or_cannot_write(*self._named):
            try:
                self._fresh.replace(self._target)
            except OSError:  # a file that is mounted by itself, or another's in /tmp, cannot be replaced
                shutil.copyfile(self._fresh, self._target)

    def discard(self) -> None:
        """Leave nothing open, nor a temporary file."""
        with suppress(OSError):
            self._file.close()
        if self._fresh is not None:
            self._fresh.unlink(missing_ok=True)


def _opened_for(target: Path, fresh: Path) -> IO[bytes]:
    """The temporary file, with the permissions of the one that it is to replace, or of any new one."""
    earlier = _found(target)
    if earlier is not None:
        os.close(os.open(target, os.O_WRONLY))  # what may not be written may not be replaced either
    file = fresh.open("xb")
    if earlier is not None:
        with suppress(OSError):  # some file systems have no permissions
            os.fchmod(file.fileno(), stat.S_IMODE(earlier.st_mode))
    return file
