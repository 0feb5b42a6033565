"""How a command ends that cannot do what it was asked to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, TypeVar

import typer

from shared.domain.errors import Misconfigured, Unavailable
from shared.printable import printable

Result = TypeVar("Result")


def fail(message: str) -> NoReturn:
    """End with status 1 and a message that says what to do; it may have several lines."""
    typer.echo("\n".join(map(printable, message.split("\n"))), err=True)
    raise typer.Exit(1) from None


def or_fail(work: Callable[[], Result]) -> Result:
    """What `work` answers. A setting that cannot be used, or a server that is silent, ends the command in words."""
    try:
        return work()
    except (Misconfigured, Unavailable) as problem:
        fail(str(problem))
