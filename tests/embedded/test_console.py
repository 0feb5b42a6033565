"""Log lines of several processes, told apart by name and colour."""

from __future__ import annotations

import io
import os

import pytest

from shared.embedded.console import Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_carry_the_name_of_their_process() -> None:
    out = io.StringIO()
    console = Console(out, {})
    console("ingest", "listening")
    console.say("two\nlines")
    assert out.getvalue() == "ingest    │ listening\nrapport   │ two\nrapport   │ lines\n"


def test_a_terminal_gets_a_colour_for_each_process() -> None:
    out = Terminal()
    Console(out, {})("ingest", "listening")
    assert out.getvalue() == "\x1b[32mingest    │\x1b[0m listening\n"


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}])
def test_no_color_is_respected(environment: dict[str, str]) -> None:
    out = Terminal()
    Console(out, environment)("ingest", "listening")
    assert "\x1b" not in out.getvalue()


def test_when_nobody_reads_any_more_lines_go_nowhere() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as out:
        console = Console(out, {})
        console.say("two\nlines")
        console("ingest", "listening")


def test_what_finds_no_room_for_a_moment_is_all_that_is_lost() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(writing, "w") as out, os.fdopen(reading, "rb") as reader:
        console = Console(out, {})
        for _ in range(3_000):  # more than a pipe holds
            console("ingest", "x" * 50)
        os.set_blocking(reader.fileno(), False)
        while reader.read1():
            console.say("there is room again")
            if b"room again" in reader.read1():
                return
    raise AssertionError("nothing is written any more")
