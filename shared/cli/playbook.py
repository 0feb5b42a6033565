"""`rapport playbook`: what a playbook comes to, and whether it can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shared.cli.failing import or_fail
from shared.playbooks.loader import load_playbook
from shared.playbooks.writing import written

playbook_app = typer.Typer(add_completion=False)


@playbook_app.command()
def playbook(
    file: Annotated[Path | None, typer.Argument(help="a playbook in YAML [default: the one that comes along]")] = None,
) -> None:
    """Check a playbook, and print all that it comes to, as YAML with what each parameter is."""
    typer.echo(written(or_fail(lambda: load_playbook(file))), nl=False)
