"""The examples of docs/loading.md are what they say."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.domain.errors import Misconfigured
from shared.load.mapping import parse_mapping
from tests.load.conftest import Run
from tests.load.fake_ingest import FakeIngest

TEXT = (Path(__file__).parents[2] / "docs" / "loading.md").read_text()
ORDERS, USAGE = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
ROWS = "".join(
    line.removeprefix("    ") + "\n" for line in re.findall(r"^    (?:order,|100\d,).*$", TEXT, re.MULTILINE)
)


def test_the_orders(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(ROWS)
    (tmp_path / "orders.yaml").write_text(ORDERS)
    result = run(tmp_path / "orders.csv", "--mapping", tmp_path / "orders.yaml")
    assert result.exit_code == 0, result.output
    types = sorted(found.type for found in ingest.accepted)
    assert types == ["order.placed", "order.placed", "order.returned", "relationship.updated", "relationship.updated"]
    assert "1001/order.placed" in {found.id for found in ingest.accepted}


def test_the_usage(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    table = pa.table({"account": ["a"], "day": [date(2026, 1, 2)], "feature": ["export"], "uses": [7]})
    pq.write_table(table, tmp_path / "usage.parquet")
    (tmp_path / "usage.yaml").write_text(USAGE)
    assert run(tmp_path / "usage.parquet", "--mapping", tmp_path / "usage.yaml").exit_code == 0
    assert [found.type for found in ingest.accepted] == ["usage.daily_total"]


def test_the_event(run: Run, ingest: FakeIngest, tmp_path: Path) -> None:
    (line,) = re.findall(r'^    (\{"specversion".*)$', TEXT, re.MULTILINE)
    (tmp_path / "events.jsonl").write_text(line + "\n")
    assert run(tmp_path / "events.jsonl").exit_code == 0
    assert [found.relationship for found in ingest.accepted] == ["acct-42"]


def test_the_error() -> None:
    (shown,) = re.findall(r"^    (orders.yaml:.*)$", TEXT, re.MULTILINE)
    with pytest.raises(Misconfigured) as error:
        parse_mapping(ORDERS.replace("time: {column", "time: {colum"), "orders.yaml")
    assert str(error.value) == shown
