"""`rapport playbook` as people type it."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from shared.cli.app import app
from shared.playbooks.loader import builtin_playbook, load_playbook
from shared.playbooks.writing import written


def test_without_a_file_it_prints_what_there_is_to_begin_with() -> None:
    done = CliRunner().invoke(app, ["playbook"])
    assert (done.exit_code, done.stdout) == (0, written(builtin_playbook()))


def test_it_prints_what_a_file_comes_to(tmp_path: Path) -> None:
    file = tmp_path / "team.yaml"
    file.write_text('version: "7"\nrules: {silence: {enabled: false}}\n')
    done = CliRunner().invoke(app, ["playbook", str(file)])
    assert done.exit_code == 0
    file.write_text(done.stdout)
    assert not load_playbook(file).rules["silence"].enabled
    assert load_playbook(file).version == "7"


def test_it_refuses_what_cannot_be(tmp_path: Path) -> None:
    file = tmp_path / "team.yaml"
    file.write_text('version: "7"\nrules: {silence: {params: {factor: 0}}}\n')
    done = CliRunner().invoke(app, ["playbook", str(file)])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"{file}:2:36: rules.silence.params.factor: expected a number of at least 1 and at most 20, not '0'\n"
    )
