"""Files that commands write: never one that is read, and an earlier one stays until a run is over."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.cli.outputs import Outputs, keep_apart
from shared.domain.errors import Misconfigured


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def umask() -> Iterator[None]:
    """New files are for their owner and group."""
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def put(path: Path, *lines: bytes, then: Callable[[Outputs], None] = lambda _outputs: None) -> None:
    """A run that writes lines, and may do something else in the end."""
    with Outputs() as outputs:
        write = outputs.lines_into("--flags", path)
        for line in lines:
            write(line)
        then(outputs)


def fail(_outputs: Outputs) -> None:
    raise ZeroDivisionError


def test_a_file_is_there_when_the_run_has_ended() -> None:
    out = Path("out")
    with Outputs() as outputs:
        outputs.lines_into("--flags", out)(b"new")
        assert not out.exists()
    assert out.read_bytes() == b"new\n"
    assert os.listdir() == ["out"]


@pytest.mark.parametrize("earlier", [{}, {"out": b"earlier"}])
def test_a_run_that_fails_leaves_all_as_it_was(earlier: dict[str, bytes]) -> None:
    for name, content in earlier.items():
        Path(name).write_bytes(content)
    with pytest.raises(ZeroDivisionError):
        put(Path("out"), b"new", then=fail)
    assert {name: Path(name).read_bytes() for name in os.listdir()} == earlier


def test_no_file_takes_its_place_where_another_cannot_be_written() -> None:
    with pytest.raises(Misconfigured, match=r"^cannot write --scores /dev/full: No space left on device$"):
        put(Path("out"), b"new", then=lambda outputs: outputs.lines_into("--scores", Path("/dev/full"))(b"new"))
    assert os.listdir() == []


def test_a_new_file_is_as_any_other_and_an_earlier_one_keeps_its_permissions(umask: None) -> None:
    out = Path("out")
    put(out, b"new")
    assert mode(out) == 0o640
    out.chmod(0o600)
    put(out, b"newer")
    assert (mode(out), out.read_bytes()) == (0o600, b"newer\n")


def test_a_link_stays_one() -> None:
    Path("there").mkdir()
    Path("link").symlink_to("there/out")
    for line in (b"new", b"newer"):
        put(Path("link"), line)
        assert Path("link").is_symlink()
        assert Path("there/out").read_bytes() == line + b"\n"
    assert os.listdir("there") == ["out"]


def test_a_file_that_cannot_be_replaced_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(_self: Path, _target: Path) -> None:
        raise OSError(16, "Device or resource busy")

    out = Path("out")
    out.write_bytes(b"earlier")
    monkeypatch.setattr(Path, "replace", busy)
    put(out, b"new")
    assert out.read_bytes() == b"new\n"
    assert os.listdir() == ["out"]


def test_a_very_long_name_is_no_obstacle() -> None:
    out = Path("ü" * 127)
    put(out, b"new")
    assert os.listdir() == [out.name]


def test_a_pipe_is_written_line_by_line() -> None:
    pipe, read = Path("pipe"), list[bytes]()
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    put(pipe, b"one", b"two", then=lambda _outputs: read.append(os.read(reader, 100)))
    os.close(reader)
    assert read == [b"one\ntwo\n"]
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("none/out", "No such file or directory"),
        ("file/out", "Not a directory"),
        ("directory", "Is a directory"),
        ("loop", "Too many levels of symbolic links"),
    ],
)
def test_what_cannot_be_written_is_said_at_once(path: str, why: str) -> None:
    Path("file").touch()
    Path("directory").mkdir()
    Path("loop").symlink_to("loop")
    before = set(os.listdir())
    with pytest.raises(Misconfigured) as said:
        put(Path("out"), then=lambda outputs: outputs.lines_into("--scores", Path(path)) and None)
    assert str(said.value) == f"cannot write --scores {path}: {why}"
    assert set(os.listdir()) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_file_that_is_write_protected_is_not_replaced() -> None:
    out = Path("out")
    out.touch(0o400)
    with pytest.raises(Misconfigured, match="cannot write --flags out: Permission denied"):
        put(out, b"new")


def test_files_that_are_not_there_are_the_same_by_their_resolved_paths() -> None:
    Path("link").symlink_to("new")
    keep_apart([("--flags", Path("new")), ("--scores", Path("other"))], [("--history", Path("old"))])
    with pytest.raises(Misconfigured, match="--scores link is the same file as --flags new: name another"):
        keep_apart([("--flags", Path("new")), ("--scores", Path("link"))], [])


def test_anything_may_go_nowhere() -> None:
    nowhere = Path("/dev/null")
    keep_apart([("--flags", nowhere), ("--scores", nowhere)], [("--mapping", nowhere)])
    put(nowhere, b"new")
    assert nowhere.is_char_device()
