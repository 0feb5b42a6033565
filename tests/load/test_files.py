from __future__ import annotations

import gzip
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec import json

from tests.load.conftest import Run
from tests.load.fake_ingest import FakeIngest

ORDERS = """
source: shop
key: [order]
subject: "{customer}"
time: {column: placed, format: "%d.%m.%Y %H:%M", zone: Europe/Berlin}
events:
  - type: relationship.updated
    once: true
    data: {name: "Customer {customer}", kind: customer, custom: {city: "{city}"}}
  - type: order.placed
    when:
      - {column: amount, above: 0}
    data: {amount: {column: amount, as: number}, currency: EUR, units: {column: units, as: integer, default: 1}}
  - type: order.returned
    when:
      - {column: amount, below: 0}
    data: {amount: {column: amount, as: number}, currency: EUR}
"""
ORDER_ROWS = """order,customer,placed,amount,units,city
1,c1,01.07.2025 12:00,10.5,2,Ulm
2,c2,02.07.2025 12:00,7,,
3,c1,03.07.2025 12:00,-7,1,Ulm
4,c1,04.13.2025 12:00,7,1,Ulm
5,,05.07.2025 12:00,7,1,
1,c9,05.07.2025 12:00,7,1,
7,c1,05.07.2025 12:00,many,1,
8,c1
"""


def event(n: int, **changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"e{n}",
        "source": "crm",
        "type": "message.received",
        "subject": f"acct-{n % 5}",
        "time": f"2025-03-{n % 28 + 1:02}T10:00:00Z",
        "data": {"person": "ann@example.org"},
        **changes,
    }


def write(path: Path, content: str | bytes) -> Path:
    raw = content.encode() if isinstance(content, str) else content
    if path.suffix == ".gz":
        raw = gzip.compress(raw)
    path.write_bytes(raw)
    return path


def lines(events: list[Any]) -> bytes:
    return b"\n".join(json.encode(event) for event in events) + b"\n"


@pytest.mark.parametrize("name", ["e.jsonl", "e.jsonl.gz", "e.ndjson"])
def test_jsonl_is_loaded_as_backfill(run: Run, ingest: FakeIngest, tmp_path: Path, name: str) -> None:
    result = run(write(tmp_path / name, lines([event(n) for n in range(1234)])))
    assert result.exit_code == 0, result.output
    assert len(ingest.ids()) == 1234
    assert all(found.backfill for found in ingest.accepted)
    assert "accepted       1,234 (those that were there already among them, which count once)\n" in result.output
    assert "time span      2025-03-01T10:00:00.000Z to 2025-03-28T10:00:00.000Z" in result.output


def test_as_live_is_not_backfill(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    assert run(write(tmp_path / "e.jsonl", lines([event(1)])), "--as-live").exit_code == 0
    assert not ingest.accepted[0].backfill


def test_what_is_wrong_is_rejected_alone(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    bad = [event(1), event(2, time="yesterday"), event(3, subject=""), event(4)]
    content = lines(bad) + b"{not json\n\n" + b"x" * 1_500_000 + b"\n" + lines([event(9)])
    rejects = tmp_path / "rejects.jsonl"
    result = run(write(tmp_path / "e.jsonl", content), "--rejects", rejects)
    assert result.exit_code == 1
    assert {found.id for found in ingest.accepted} == {"e1", "e4", "e9"}
    kept = [json.decode(line) for line in rejects.read_bytes().splitlines()]
    assert [(found["line"], found["reason"]) for found in kept] == [
        (2, "invalid_time"),
        (3, "invalid_attribute"),
        (5, "malformed_json"),
        (7, "too_large"),
    ]
    assert kept[0]["event"]["id"] == "e2"
    assert "1 malformed_json (line 5)" in result.output


def test_additive_usage_is_warned_of(run: Run, tmp_path: Path) -> None:
    used = event(1, type="usage.feature_used", data={"feature": "export"})
    result = run(write(tmp_path / "e.jsonl", lines([used])))
    assert "accepted       1\n" in result.output
    assert "usage.feature_used add up" in result.output
    total = event(1, type="usage.daily_total", data={"feature": "export", "day": "2025-03-02", "quantity": 4})
    assert "add up" not in run(write(tmp_path / "t.jsonl", lines([total]))).output


def test_csv_with_a_mapping(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    mapping = write(tmp_path / "m.yaml", ORDERS)
    result = run(write(tmp_path / "orders.csv.gz", ORDER_ROWS), "--mapping", mapping)
    assert result.exit_code == 1
    # What restates how something stands has a hash of it at the end of its id.
    by_id = {
        found.id.removesuffix(found.id[-9:]) if found.id[-9] == "/" else found.id: found for found in ingest.accepted
    }
    assert set(by_id) == {
        "once/c1/relationship.updated",
        "once/c2/relationship.updated",
        "1/order.placed",
        "2/order.placed",
        "3/order.returned",
    }
    assert {found.source for found in ingest.accepted} == {"shop"}
    assert json.decode(by_id["1/order.placed"].data) == {"amount": 10.5, "currency": "EUR", "units": 2}
    assert json.decode(by_id["2/order.placed"].data)["units"] == 1
    assert by_id["1/order.placed"].time == datetime(2025, 7, 1, 10, tzinfo=UTC).timestamp() * 1000
    assert json.decode(by_id["once/c2/relationship.updated"].data)["custom"] == {}
    for expected in (
        "no_time (line 5",
        "no_subject (line 6",
        "key_met_before (line 7)",
        "wrong_value (line 8",
        "malformed_row (line 9)",
    ):
        assert expected in result.output


def test_loading_again_makes_the_same_events(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    mapping = write(tmp_path / "m.yaml", ORDERS)
    file = write(tmp_path / "orders.csv", ORDER_ROWS)
    run(file, "--mapping", mapping)
    first = Counter(ingest.ids())
    ingest.accepted.clear()
    run(file, "--mapping", mapping)
    assert Counter(ingest.ids()) == first


def test_without_a_key_equal_rows_count_each(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    mapping = write(
        tmp_path / "m.yaml",
        'subject: "{who}"\ntime: {column: day}\nevents: [{type: message.received, data: {person: "{who}"}}]',
    )
    rows = write(tmp_path / "calls.csv", "who,day\nann,2025-01-01\nbob,2025-01-01\nann,2025-01-01\n")
    assert run(rows, "--mapping", mapping).exit_code == 0
    assert len(ingest.ids()) == 3
    assert {found.source for found in ingest.accepted} == {"calls"}
    before = ingest.ids()
    # The order of rows, and rows that are added, do not touch the ids of those that were there.
    write(tmp_path / "calls.csv", "who,day\nann,2025-01-01\neve,2025-02-01\nann,2025-01-01\nbob,2025-01-01\n")
    ingest.accepted.clear()
    assert run(rows, "--mapping", mapping).exit_code == 0
    assert before < ingest.ids()
    assert len(ingest.ids()) == 4


def test_parquet_with_typed_columns(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    table = pa.table(
        {
            "account": [f"a{n % 3}" for n in range(90)],
            "day": [date(2025, 1, 1 + n // 3) for n in range(90)],
            "uses": pa.array(range(90), pa.int64()),
            "at": pa.array(
                [datetime(2025, 1, 1 + n // 3, 23, tzinfo=UTC) for n in range(90)], pa.timestamp("us", "UTC")
            ),
        }
    )
    pq.write_table(table, tmp_path / "use.parquet", row_group_size=20)
    mapping = write(
        tmp_path / "m.yaml",
        """
key: [account, day]
subject: "{account}"
time: {column: at}
events:
  - type: usage.daily_total
    data: {feature: report, day: {column: day, as: day}, quantity: {column: uses, as: number}}
""",
    )
    result = run(tmp_path / "use.parquet", "--mapping", mapping)
    assert result.exit_code == 0, result.output
    assert len(ingest.ids()) == 90
    last = next(found for found in ingest.accepted if found.id.startswith("a2:2025-01-30/usage.daily_total/"))
    assert json.decode(last.data) == {"feature": "report", "day": "2025-01-30", "quantity": 89}
    assert last.time == datetime(2025, 1, 30, 23, tzinfo=UTC).timestamp() * 1000


def test_a_file_that_is_no_parquet_is_named(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    mapping = write(tmp_path / "m.yaml", 'subject: "{a}"\ntime: {column: t}\nevents: [{type: login.happened}]\n')
    result = run(write(tmp_path / "use.parquet", "a,t\n"), "--mapping", mapping)
    assert result.exit_code == 2
    assert "use.parquet is not a Parquet file" in result.output
    assert not ingest.ids()


def test_json_records_with_a_mapping(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    records = [{"who": "a", "t": 1_700_000_000, "tags": "x, y"}, {"who": "b", "t": 1_700_000_001}]
    mapping = write(
        tmp_path / "m.yaml",
        """
key: [who, t]
subject: "acct-{who}"
time: {column: t, format: unix}
events: [{type: note.added, data: {people: {column: tags, as: list}}}]
""",
    )
    assert run(write(tmp_path / "r.jsonl", lines(records)), "--mapping", mapping).exit_code == 0
    by = {found.relationship: found for found in ingest.accepted}
    assert json.decode(by["acct-a"].data) == {"people": ["x", "y"]}
    assert json.decode(by["acct-b"].data) == {}
    assert by["acct-a"].time == 1_700_000_000_000


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (None, 2, "there is no file"),
        (b"a,b\n1,2\n", 2, "needs --mapping"),
    ],
)
def test_wrong_use_is_explained(run: Run, tmp_path: Path, content: bytes | None, code: int, says: str) -> None:
    path = tmp_path / "file.csv"
    if content is not None:
        path.write_bytes(content)
    result = run(path)
    assert result.exit_code == code
    assert says in result.output


def test_other_endings_and_encodings_are_explained(run: Run, tmp_path: Path) -> None:
    assert "must end in" in run(write(tmp_path / "x.xlsx", b"")).output
    mapping = write(tmp_path / "m.yaml", ORDERS)
    latin = write(tmp_path / "l.csv", ORDER_ROWS.replace("Ulm", "Köln").encode("latin-1"))
    result = run(latin, "--mapping", mapping)
    assert result.exit_code == 2
    assert "set csv.encoding" in result.output
    mapping.write_text(ORDERS + "csv: {encoding: latin-1}\n")
    assert run(latin, "--mapping", mapping).exit_code == 1
    damaged = tmp_path / "d.jsonl.gz"
    damaged.write_bytes(gzip.compress(lines([event(1)]))[:-9])
    result = run(damaged)
    assert result.exit_code == 2
    assert "damaged" in result.output


def test_a_total_that_changed_is_another_event(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    mapping = write(
        tmp_path / "m.yaml",
        """
key: [who, day]
subject: "{who}"
time: {column: day}
events:
  - type: usage.daily_total
    data: {feature: f, day: "{day}", quantity: {column: n, as: number}}
""",
    )
    for content in ("who,day,n\na,2025-01-01,5\n", "who,day,n\na,2025-01-01,5\n", "who,day,n\na,2025-01-01,6\n"):
        assert run(write(tmp_path / "u.csv", content), "--mapping", mapping).exit_code == 0
    first, again, changed = (found.id for found in ingest.accepted)
    assert first == again
    assert first != changed


HOSTILE = "\x1b]0;pwn\x07\x9b1m"
HARMLESS = "\\u001b]0;pwn\\u0007\\u009b1m"


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (
            f"order,customer,placed\n{HOSTILE},a,2025-07-01\n{HOSTILE},b,2025-07-01\n",
            1,
        ),  # a row that is told by its key
        (f"order,customer,{HOSTILE}\n1,a,2025-07-01\n", 2),  # a column that is told by its name
    ],
)
def test_control_characters_of_a_file_are_shown_and_not_obeyed(run: Run, tmp_path: Path, rows: str, code: int) -> None:
    mapping = (
        'key: [order]\nsubject: "{customer}"\ntime: {column: placed}\n'
        "events:\n  - {type: order.placed, data: {amount: 1, currency: EUR}}\n"
    )
    result = run(write(tmp_path / "o.csv", rows), "--mapping", write(tmp_path / "m.yaml", mapping))
    assert result.exit_code == code, result.output
    assert HARMLESS in result.output
    assert HOSTILE not in result.output
