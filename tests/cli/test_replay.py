"""`rapport replay` as people type it, on small files."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from typer.testing import CliRunner

import shared.cli.replay
from shared.cli.app import app
from shared.load.arrivals import Arrivals
from shared.load.files import open_source

Replay = Callable[..., Result]
MAPPING = """\
source: shop
subject: "{customer}"
time: {column: day}
events:
  - type: order.placed
    data: {amount: {column: amount, as: number}, currency: EUR}
"""


@pytest.fixture
def rapport(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replay:
    """`rapport replay ARGUMENTS` in a directory of the test."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["replay", *map(str, arguments)])


def event(id: str, who: str, type: str, time: str, /, **data: Any) -> dict[str, Any]:
    names = {"specversion": "1.0", "id": id, "source": "crm", "type": type}
    return {**names, "subject": who, "time": time, "data": data}


def answer(id: str, who: str, time: str, score: int) -> dict[str, Any]:
    return event(id, who, "survey.answered", time, instrument="nps", score=score, person="ann")


def write(path: str, events: Iterable[object]) -> None:
    Path(path).write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in events))


def lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_flags_and_scores_of_files_merged_by_time(rapport: Replay) -> None:
    write("late.jsonl", [answer("2", "acct-1", "2026-02-01T09:00:00Z", 9), answer("3", "b", "2026-02-01T09:00:00Z", 1)])
    first = {**answer("1", "acct-1", "2026-01-01T10:00:00+01:00", 3), "rapportbackfill": True}
    Path("early.jsonl.gz").write_bytes(gzip.compress(json.dumps(first).encode()))
    done = rapport(
        *("--history", "late.jsonl", "early.jsonl.gz", "--flags", "f.jsonl", "--scores", "s.jsonl"),
        *("--at", "2026-01-01T09:00:00Z", "2026-02-02", "--until", "2026-06-01"),
    )
    assert done.exit_code == 0, done.output
    assert [(one["relationship"], one["severity"], one["raised"], one["at"]) for one in lines("f.jsonl")] == [
        ("acct-1", "critical", True, "2026-01-01T09:00:00.000Z"),
        ("acct-1", "critical", False, "2026-02-01T09:00:00.000Z"),
        ("b", "critical", True, "2026-02-01T09:00:00.000Z"),
        ("b", "critical", False, "2026-05-02T09:00:00.000Z"),
    ]
    raised = lines("f.jsonl")[0]
    assert list(raised) == ["relationship", "rule", "subject", "severity", "raised", "at", "reason", "numbers"]
    assert (raised["rule"], raised["subject"], raised["numbers"]["score"]) == ("nps_detractor", "ann", 3)
    one, other, last = lines("s.jsonl")
    assert [(one["relationship"], one["at"]) for one in (one, other, last)] == [
        ("acct-1", "2026-01-01T09:00:00.000Z"),
        ("acct-1", "2026-02-02T00:00:00.000Z"),
        ("b", "2026-02-02T00:00:00.000Z"),
    ]
    assert list(one) == ["relationship", "at", "ri", "rv", "health", "factors"]
    assert one["health"] in ("red", "yellow", "green")
    assert one["factors"]["satisfaction"]["value"] == 0.3
    assert set(one["factors"]["satisfaction"]) == {"value", "confidence"}


def test_a_summary_in_words(rapport: Replay) -> None:
    again = answer("1", "acct-1", "2026-01-02T09:00:00Z", 3)
    write("e.jsonl", [answer("1", "acct-1", "2026-01-01T09:00:00Z", 3), "{broken", again, answer("2", "b", "soon", 3)])
    done = rapport("--history", "e.jsonl", "--at", "2026-01-05")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[:-1] == [
        "events         2 of 1 relationships",
        "time span      2026-01-01T09:00:00.000Z to 2026-01-05T00:00:00.000Z",
        "duplicates     1",
        "rejected       2",
        "  1 malformed_json",
        "  1 invalid_time",
        "  e.jsonl:2: malformed_json: not a JSON object: JSON is malformed: object keys must be strings (byte 1)",
        "  e.jsonl:4: invalid_time: The attribute `time` is no time that can be used; write RFC 3339 with an offset,"
        " for example 2026-01-31T09:00:00Z.",
        "flags          1 raised, 0 cleared",
        "  nps_detractor: 1 raised, 0 cleared, 1 stand at the end",
        "most flags     acct-1 (1)",
        "health         at 2026-01-05T00:00:00.000Z: 1 yellow",
    ]
    assert done.stdout.splitlines()[-1].startswith("took ")


def test_nothing_after_the_end_counts(rapport: Replay) -> None:
    write("e.jsonl", [answer(str(n), f"acct-{n}", f"2026-01-0{n}T09:00:00Z", 9) for n in (1, 2, 3)])
    done = rapport("--history", "e.jsonl", "--until", "2026-01-02T09:00:00Z")
    assert "events         2 of 2 relationships" in done.stdout
    assert "flags          0 raised, 0 cleared" in done.stdout
    assert "most flags" not in done.stdout


def test_what_comes_after_the_end_is_counted(rapport: Replay) -> None:
    history()
    said = rapport("--history", "e.jsonl", "--until", "2026-01-01T12:00:00Z").stdout.splitlines()
    assert said[:5] == [
        "events         1 of 1 relationships",
        "time span      2026-01-01T09:00:00.000Z to 2026-01-01T12:00:00.000Z",
        "left out       1 after --until",
        "duplicates     0",
        "rejected       0",
    ]
    assert "left out" not in rapport("--history", "e.jsonl", "--until", "2026-01-02T09:00:00Z").stdout


def test_a_history_that_begins_after_the_end_is_refused(rapport: Replay) -> None:
    history()
    Path("f.jsonl").write_text("earlier\n")
    done = rapport("--history", "e.jsonl", "--until", "2025-12-31", "--at", "2025-12-30", "--flags", "f.jsonl")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "All 2 events lie after --until 2025-12-31T00:00:00.000Z:"
        " the first is of 2026-01-01T09:00:00.000Z, the last of 2026-01-02T09:00:00.000Z.\n"
    )
    assert Path("f.jsonl").read_text() == "earlier\n"
    write("e.jsonl", [answer("1", "a", "2026-01-01T09:00:00Z", 3)])
    done = rapport("--history", "e.jsonl", "--until", "2026-01-01T08:59:59.999Z")
    assert (
        done.stderr
        == "The only event lies after --until 2026-01-01T08:59:59.999Z: it is of 2026-01-01T09:00:00.000Z.\n"
    )


def test_moments_at_which_no_relationship_was_known_are_named(rapport: Replay) -> None:
    history()
    moments = ("2026-01-02", "2025-12-31", "2026-01-01T08:59:59Z", "2025-12-31T00:00:00Z")
    done = rapport("--history", "e.jsonl", "--at", *moments, "--scores", "s.jsonl")
    assert done.exit_code == 0, done.output
    assert [line for line in done.stdout.splitlines() if line.startswith("health")] == [
        "health         at 2025-12-31T00:00:00.000Z: no relationship known yet",
        "health         at 2026-01-01T08:59:59.000Z: no relationship known yet",
        "health         at 2026-01-02T00:00:00.000Z: 1 yellow",
    ]
    assert [one["at"] for one in lines("s.jsonl")] == ["2026-01-02T00:00:00.000Z"]


def test_tables_with_one_mapping(rapport: Replay) -> None:
    Path("m.yaml").write_text(MAPPING)
    days = [(date(2026, 1, 1) + timedelta(days=n)).isoformat() for n in range(0, 40, 2)]
    Path("a.csv").write_text("".join(["customer,day,amount\n", *(f"a,{day},1\n" for day in days)]))
    pq.write_table(pa.table({"customer": ["b"], "day": ["2026-01-01"], "amount": ["much"]}), "b.parquet")
    done = rapport("--history", "a.csv", "b.parquet", "--mapping", "m.yaml", "--until", "2026-03-01")
    assert "silence: 1 raised" in done.stdout
    assert "  b.parquet:1: wrong_value: amount: 'much' is not a number" in done.stdout


def test_each_file_with_a_mapping_of_its_own(rapport: Replay) -> None:
    Path("m.yaml").write_text(MAPPING)
    Path("a.csv").write_text("customer,day,amount\na,2026-01-01,1\n")
    write("e.jsonl", [answer("1", "a", "2026-01-01T09:00:00Z", 9)])
    files = ("--history", "a.csv", "--history", "e.jsonl")
    assert "events         2 of 1 relationships" in rapport(*files, "--mapping", "m.yaml", "-").stdout
    Path("b.csv").write_text("")
    done = rapport(*files, "--history", "b.csv", "--mapping", "m.yaml", "-")
    assert (done.exit_code, done.stderr.startswith("there are 3 files and 2 mappings: give one --mapping")) == (1, True)


def test_another_playbook(rapport: Replay) -> None:
    write("e.jsonl", [answer("1", "a", "2026-01-01T09:00:00Z", 3)])
    Path("p.yaml").write_text('version: "1"\nrules: {nps_detractor: {enabled: false}}\n')
    assert "flags          0 raised" in rapport("--history", "e.jsonl", "--playbook", "p.yaml").stdout


def test_it_says_how_far_it_is(rapport: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared.cli.replay, "PLAIN_EVERY", 0.0)
    monkeypatch.setattr(shared.cli.replay, "TOLD_EVERY", 1)
    write("e.jsonl", [answer(str(n), "a", f"2026-01-0{n}T09:00:00Z", 9) for n in (1, 2)])
    said = rapport("--history", "e.jsonl").stderr
    assert re.fullmatch(r"reading e.jsonl: \d+ %\nreplaying: 50 %\nreplaying: 100 %\n", said), said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--history", "none.jsonl"], "there is no file none.jsonl"),
        (["--history", "e.jsonl", "--at", "yesterday"], "--at: 'yesterday' is not an RFC 3339 time"),
        (["--history", "e.jsonl", "--until", "2026-02-30"], "--until: '2026-02-30' is not a date"),
        (
            ["--history", "e.jsonl", "--at", "2026-02-02", "--until", "2026-02-01"],
            "--at 2026-02-02T00:00:00.000Z is after",
        ),
        (["--history", "e.jsonl", "--scores", "s.jsonl"], "--scores needs a moment: --at 2026-01-31"),
        (
            ["--history", "e.jsonl", "--flags", "no/f.jsonl"],
            "cannot write --flags no/f.jsonl: No such file or directory",
        ),
        (["--history", "t.csv"], "t.csv: a table needs --mapping FILE"),
        (["--history", "t.csv", "--mapping", "m.yaml"], "m.yaml:3: time.column: the table has no column 'day'"),
        (["--history", "e.jsonl", "--mapping", "none.yaml"], "cannot read the mapping none.yaml: No such file"),
        (["--history", "e.jsonl", "--playbook", "none.yaml"], "none.yaml: cannot be read (No such file or directory)"),
        (["--history", "bad.jsonl"], "There is no event to replay.\nbad.jsonl:1: malformed_json: not a JSON object"),
        (["--history", "empty.jsonl"], "There is no event to replay.\n"),
    ],
)
def test_what_cannot_be_done_is_said_in_words(rapport: Replay, arguments: list[str], words: str) -> None:
    write("e.jsonl", [answer("1", "a", "2026-01-01T09:00:00Z", 9)])
    write("bad.jsonl", ["nothing"])
    write("empty.jsonl", [])
    Path("t.csv").write_text("who,when\na,2026-01-01\n")
    Path("m.yaml").write_text(MAPPING)
    done = rapport(*arguments)
    assert (done.exit_code, done.stderr.startswith(words), done.stdout) == (1, True, ""), done.stderr


def history(path: str = "e.jsonl") -> bytes:
    """Two days of a history in a file; what the file holds."""
    write(path, [answer(str(n), f"acct-{n}", f"2026-01-0{n}T09:00:00Z", 3) for n in (1, 2)])
    return Path(path).read_bytes()


def names() -> set[str]:
    """What lies in the directory of the test."""
    return {one.name for one in Path().iterdir()}


@pytest.mark.parametrize("option", ["--flags", "--scores"])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: None, "./e.jsonl"),
        (lambda: Path("other").symlink_to("e.jsonl"), "other"),
        (lambda: Path("other").hardlink_to("e.jsonl"), "other"),
        (lambda: Path("here").symlink_to("."), "here/e.jsonl"),
    ],
)
def test_the_history_is_never_written_to(rapport: Replay, make: Callable[[], None], name: str, option: str) -> None:
    before = history()
    make()
    done = rapport("--history", "e.jsonl", "--at", "2026-01-02", option, name)
    assert (done.exit_code, done.stdout) == (1, "")
    shown = Path(name)
    assert done.stderr == f"{option} {shown} is the same file as --history e.jsonl: name another file to write to\n"
    assert Path("e.jsonl").read_bytes() == before


def test_mapping_and_playbook_are_never_written_to(rapport: Replay) -> None:
    history()
    Path("t.csv").write_text("customer,day,amount\na,2026-01-01,1\n")
    Path("m.yaml").write_text(MAPPING)
    Path("p.yaml").write_text('version: "1"\n')
    arguments = ("--history", "e.jsonl", "t.csv", "--mapping", "-", "m.yaml", "--playbook", "p.yaml")
    for option, name in (("--mapping", "m.yaml"), ("--playbook", "p.yaml"), ("--history", "t.csv")):
        before = Path(name).read_bytes()
        done = rapport(*arguments, "--flags", name)
        assert (done.exit_code, done.stderr.split(":")[0]) == (1, f"--flags {name} is the same file as {option} {name}")
        assert Path(name).read_bytes() == before


@pytest.mark.parametrize("other", ["z", "./z", "link", "here/z"])
@pytest.mark.parametrize("there", [False, True])
def test_flags_and_scores_are_two_files(rapport: Replay, other: str, there: bool) -> None:
    history()
    Path("link").symlink_to("z")
    Path("here").symlink_to(".")
    if there:
        Path("z").write_text("earlier\n")
    done = rapport("--history", "e.jsonl", "--at", "2026-01-02", "--flags", "z", "--scores", other)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"--scores {Path(other)} is the same file as --flags z: name another file to write to\n"
    assert Path("z").exists() == there


@pytest.mark.parametrize("broken", ["", '{"half\n'])
def test_an_earlier_output_outlives_a_run_that_fails(rapport: Replay, broken: str) -> None:
    Path("e.jsonl").write_text(broken)
    Path("f.jsonl").write_text("earlier\n")
    before = names()
    assert rapport("--history", "e.jsonl", "--flags", "f.jsonl").exit_code == 1
    assert (Path("f.jsonl").read_text(), names()) == ("earlier\n", before)


def test_an_earlier_output_outlives_a_run_that_is_interrupted(rapport: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_found: object) -> dict[str, object]:
        raise KeyboardInterrupt

    history()
    Path("f.jsonl").write_text("earlier\n")
    before = names()
    monkeypatch.setattr(shared.cli.replay, "score_line", interrupted)
    arguments = ("--history", "e.jsonl", "--at", "2026-01-02", "--flags", "f.jsonl", "--scores", "s.jsonl")
    assert rapport(*arguments).exit_code != 0
    assert (Path("f.jsonl").read_text(), names()) == ("earlier\n", before)


def test_outputs_take_the_place_of_earlier_ones(rapport: Replay) -> None:
    history()
    Path("f.jsonl").write_text("earlier\n" * 1000)
    done = rapport("--history", "e.jsonl", "--at", "2026-01-02", "--flags", "f.jsonl", "--scores", "s.jsonl")
    assert done.exit_code == 0, done.output
    assert [one["relationship"] for one in lines("f.jsonl")] == ["acct-1", "acct-2"]
    assert [one["relationship"] for one in lines("s.jsonl")] == ["acct-1"]
    assert names() == {"e.jsonl", "f.jsonl", "s.jsonl"}


def test_flags_that_are_piped_come_before_the_summary(tmp_path: Path) -> None:
    write(str(tmp_path / "e.jsonl"), [answer("1", "acct-1", "2026-01-01T09:00:00Z", 3)])
    command = [sys.executable, "-c", "from shared.cli.app import app; app()", "replay"]
    arguments = ["--history", str(tmp_path / "e.jsonl"), "--flags", "/dev/stdout"]
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([*command, *arguments], stdout=out, check=True, timeout=60)
    piped = subprocess.run([*command, *arguments], stdout=subprocess.PIPE, check=True, timeout=60).stdout
    for said in ((tmp_path / "out").read_bytes(), piped):
        first, second = said.splitlines()[:2]
        assert json.loads(first)["relationship"] == "acct-1"
        assert second == b"events         1 of 1 relationships"


def test_events_are_ordered_with_few_in_memory(tmp_path: Path) -> None:
    days = [3, 1, 2, 1, 5, 4, 2]
    file = tmp_path / "e.jsonl"
    write(str(file), [answer(str(n), "a", f"2026-01-0{day}T09:00:00Z", 9) for n, day in enumerate(days)])
    for in_memory in (2, 3, 100):
        arrivals = Arrivals(in_memory)
        arrivals.read("e", open_source(file, None, backfill=False), lambda _done: None)
        assert [one.id for one in arrivals] == ["1", "3", "2", "6", "0", "5", "4"]
        assert [one.id for one in arrivals] == ["1", "3", "2", "6", "0", "5", "4"]


def test_a_total_of_a_day_to_come_is_refused_as_ingest_would(tmp_path: Path) -> None:
    file = tmp_path / "e.jsonl"
    totals = [
        event(day, "a", "usage.daily_total", "2026-01-01T09:00:00Z", day=day, feature="api", quantity=1)
        for day in ("2025-12-31", "2026-01-02", "2026-01-03")
    ]
    write(str(file), totals)
    arrivals = Arrivals()
    arrivals.read("e", open_source(file, None, backfill=False), lambda _done: None)
    assert [one.id for one in arrivals] == ["2025-12-31", "2026-01-02"]
    assert dict(arrivals.rejected) == {"future_time": 1}


def test_the_example_of_the_docs(rapport: Replay) -> None:
    text = (Path(__file__).parents[2] / "docs" / "replay.md").read_text()
    shown = [line.removeprefix("    ") for line in text.splitlines() if line.startswith("    ")]
    (mapping,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (command,) = [line.split() for line in shown if line.startswith("rapport replay")]
    Path("orders.yaml").write_text(mapping)
    Path("orders.csv").write_text("".join(f"{line}\n" for line in shown if re.match(r"order,|10\d\d,", line)))
    done = rapport(*command[2:])
    assert done.exit_code == 0, done.output
    at = shown.index("events         20 of 2 relationships")
    assert done.stdout.splitlines()[:-1] == shown[at : at + 9]
    assert lines("flags.jsonl") == [json.loads(line) for line in shown if '"severity"' in line]
    (score,) = (line for line in shown if '"health"' in line)
    assert Path("scores.jsonl").read_text().splitlines()[-1].startswith(score.partition(", …")[0])
