from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import json
from typer.testing import CliRunner

from shared.cli.load import load_app
from shared.domain.errors import Misconfigured, Unavailable
from shared.load.files import open_source
from shared.load.loader import load
from shared.load.outgoing import Outgoing
from shared.load.publish import IngestClient, Outcome
from shared.load.resume import Bookmark
from tests.load.conftest import Run
from tests.load.fake_ingest import KEY, FakeIngest
from tests.load.test_files import event, lines, write


def test_an_interrupted_load_goes_on(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    file = write(tmp_path / "e.jsonl", lines([event(n) for n in range(20_000)]))
    ingest.stop_after = 9_000
    result = run(file, "--patience", "0.05")
    assert result.exit_code == 3
    assert "goes on where this one stopped" in result.output
    ingest.stop_after = 0
    result = run(file)
    assert result.exit_code == 0
    assert "going on behind line 8,000" in result.output
    assert len(ingest.ids()) == 20_000
    assert "accepted       20,000" in result.output
    assert not list((tmp_path / "state").rglob("*.json"))


def test_restart_begins_anew(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    file = write(tmp_path / "e.jsonl", lines([event(n) for n in range(9_000)]))
    ingest.stop_after = 8_000
    assert run(file, "--patience", "0.05").exit_code == 3
    ingest.stop_after = 0
    ingest.accepted.clear()
    result = run(file, "--restart")
    assert "going on" not in result.output
    assert len(ingest.ids()) == 9_000


def rejected(path: Path) -> list[int]:
    """The lines that a file of rejects names."""
    return [json.decode(line)["line"] for line in path.read_bytes().splitlines()]


def test_rejects_of_an_interrupted_load_are_kept_and_added_to(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    events: list[Any] = [event(n) for n in range(20_000)]
    for wrong in (5, 8_500, 17_000):
        events[wrong - 1] = {}
    file, rejects = write(tmp_path / "e.jsonl", lines(events)), write(tmp_path / "r.jsonl", b"of another load\n")
    ingest.stop_after = 9_000
    assert run(file, "--rejects", rejects, "--patience", "0.05").exit_code == 3
    assert rejected(rejects) == [5]
    ingest.stop_after = 0
    assert run(file, "--rejects", rejects).exit_code == 1
    assert rejected(rejects) == [5, 8_500, 17_000]
    assert run(file, "--rejects", rejects).exit_code == 1
    assert rejected(rejects) == [5, 8_500, 17_000]


def test_earlier_rejects_stay_where_nothing_could_be_loaded(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    file, rejects = write(tmp_path / "e.jsonl", lines([event(1)])), write(tmp_path / "r.jsonl", b"earlier\n")
    other = "rk_write_other_" + "x" * 32
    assert run(file, "--rejects", rejects, "--write-key", other).exit_code == 2
    assert rejects.read_bytes() == b"earlier\n"
    ingest.stop_after = -1
    assert run(file, "--rejects", rejects, "--patience", "0.05").exit_code == 3
    assert rejects.read_bytes() == b"earlier\n"


@pytest.mark.parametrize("content", [b"", lines([event(1)])])
def test_a_load_without_rejects_empties_the_file(run: Run, tmp_path: Path, content: bytes) -> None:
    rejects = write(tmp_path / "r.jsonl", b"earlier\n")
    assert run(write(tmp_path / "e.jsonl", content), "--rejects", rejects).exit_code == 0
    assert rejects.read_bytes() == b""


async def test_rejects_are_told_before_the_place_moves_on(tmp_path: Path) -> None:
    class Taken:
        async def send(self, _events: list[Outgoing]) -> Outcome:
            return Outcome()

    file = write(tmp_path / "e.jsonl", lines([event(1), event(2), 3, event(4), 5, 6, event(7)]))
    bookmark = Bookmark(tmp_path, ("this",))
    told: list[tuple[int, list[int]]] = []
    await load(
        open_source(file, None, backfill=True),
        Taken(),
        bookmark,
        on_progress=lambda _done, _summary: None,
        on_answered=lambda found: told.append((bookmark.read().line, [one.line for one in found])),
        stretch=2,
    )
    assert told == [(0, []), (2, [3]), (4, [5, 6]), (6, [])]


@pytest.mark.parametrize("name", ["e.jsonl", "link", "hard"])
def test_rejects_never_overwrite_what_is_loaded(run: Run, ingest: FakeIngest, tmp_path: Path, name: str) -> None:
    content = lines([event(1), {}])
    file = write(tmp_path / "e.jsonl", content)
    (tmp_path / "link").symlink_to(file)
    (tmp_path / "hard").hardlink_to(file)
    result = run(file, "--rejects", tmp_path / name)
    assert (result.exit_code, file.read_bytes(), ingest.ids()) == (2, content, set())
    assert f"--rejects {tmp_path / name} is the same file as FILE {file}" in result.output
    mapping = write(tmp_path / "m.yaml", "subject: a")
    result = run(file, "--mapping", mapping, "--rejects", mapping)
    assert (result.exit_code, mapping.read_text()) == (2, "subject: a")
    assert f"is the same file as --mapping {mapping}" in result.output


def test_rejects_on_standard_output_come_before_the_summary(ingest: FakeIngest, tmp_path: Path) -> None:
    file = write(tmp_path / "e.jsonl", lines([{}, event(1)]))
    command = [sys.executable, "-c", "from shared.cli.load import load_app; load_app()", str(file)]
    environment = {**os.environ, "RAPPORT_WRITE_KEY": KEY, "XDG_STATE_HOME": str(tmp_path / "state")}
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run(
            [*command, "--ingest", ingest.url, "--rejects", "/dev/stdout"], env=environment, stdout=out, timeout=60
        )
    assert done.returncode == 1
    first, second = (tmp_path / "out").read_bytes().splitlines()[:2]
    assert json.decode(first)["line"] == 1
    assert second.startswith(b"read ")


def test_a_changed_file_begins_anew(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    file = write(tmp_path / "e.jsonl", lines([event(n) for n in range(9_000)]))
    ingest.stop_after = 8_000
    assert run(file, "--patience", "0.05").exit_code == 3
    ingest.stop_after = 0
    ingest.accepted.clear()
    write(file, lines([event(n) for n in range(9_001)]))
    assert run(file).exit_code == 0
    assert len(ingest.ids()) == 9_001


def test_a_busy_ingest_is_waited_for(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    ingest.troubles = [(503, {"Retry-After": "0.01"}), (429, {"Retry-After": "0.01"}), (502, {"Retry-After": "0.01"})]
    result = run(write(tmp_path / "e.jsonl", lines([event(n) for n in range(3)])))
    assert result.exit_code == 0
    assert len(ingest.ids()) == 3
    assert "trying again in 0.0 s" in result.output


def test_a_batch_that_is_too_large_is_halved(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    ingest.troubles = [(413, {})]
    same = [event(n, subject="acct-1") for n in range(100)]
    assert run(write(tmp_path / "e.jsonl", lines(same))).exit_code == 0
    assert ingest.batches == [50, 50]
    assert [found.id for found in ingest.accepted] == [f"e{n}" for n in range(100)]


def test_a_wrong_key_is_said(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path / "e.jsonl", lines([event(1)]))
    other = "rk_write_other_" + "x" * 32
    result = run(file, "--write-key", other)
    assert result.exit_code == 2
    assert "does not accept this write key" in result.output
    assert other not in result.output
    assert "rk_write_" in run(file, "--write-key", "rk_api_id_" + "x" * 32).output


def test_nobody_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = write(tmp_path / "e.jsonl", lines([event(1)]))
    arguments = [str(file), "--ingest", "http://127.0.0.1:9", "--write-key", KEY, "--patience", "0.1"]
    result = CliRunner().invoke(load_app, arguments)
    assert result.exit_code == 3
    assert "Is ingest running?" in result.output


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (httpx.Response(200, text="<html>"), Unavailable),
        (httpx.Response(202, json={"accepted": 0, "rejected": []}), Unavailable),
        (httpx.Response(403, text="no"), Misconfigured),
    ],
)
async def test_strange_answers_are_errors(response: httpx.Response, error: type[Exception]) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _request: response)) as client:
        with pytest.raises(error):
            await IngestClient(client, "http://ingest", KEY).send([Outgoing(1, "a", "b", b"{}")])


def test_interrupting_keeps_the_place(ingest: FakeIngest, tmp_path: Path) -> None:
    file = write(tmp_path / "e.jsonl", lines([event(n) for n in range(9_000)]))
    ingest.stop_after = 8_000
    command = [sys.executable, "-c", "from shared.cli.load import load_app; load_app()", str(file)]
    environment = {**os.environ, "RAPPORT_WRITE_KEY": KEY, "XDG_STATE_HOME": str(tmp_path / "state")}
    with subprocess.Popen(
        [*command, "--ingest", ingest.url], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            if not said:  # it waits for an ingest that takes nothing any more
                process.send_signal(signal.SIGINT)
            said.append(line)
        assert process.wait(timeout=20) == 130
    assert "The same command goes on" in said[-1]
    assert len(list((tmp_path / "state").rglob("*.json"))) == 1
