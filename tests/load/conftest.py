from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from shared.cli.load import load_app
from tests.load.fake_ingest import KEY, FakeIngest, fake_ingest

Run = Callable[..., Result]


@pytest.fixture
def ingest() -> Iterator[FakeIngest]:
    with fake_ingest() as running:
        yield running


@pytest.fixture
def run(ingest: FakeIngest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`rapport load ARGUMENTS` against the fake ingest, with its state in a directory of the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("RAPPORT_WRITE_KEY", KEY)

    def go(*arguments: object) -> Result:
        return CliRunner().invoke(load_app, [*map(str, arguments), "--ingest", ingest.url])

    return go
