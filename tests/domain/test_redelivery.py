"""What is read again because a worker was stopped between storing one kind of document and the next."""

from __future__ import annotations

from shared.domain.contract.uses import Use, UseData
from shared.domain.engine.run import Run
from tests.domain.builders import ID, NAME, TENANT, Desk, at

NINE = at("2026-06-01T09:00:00Z")


def test_uses_of_which_only_the_ids_were_stored_still_count() -> None:
    run = Run()
    uses = [Use(TENANT, NAME, f"u{number}", "test", "usage.login", NINE, UseData(person="ana")) for number in range(2)]
    run.append(ID, uses, [0, 1], [NINE, NINE])
    stopped, again = Desk(), Desk()
    stopped.run(run)
    stopped.store()
    again.chunks = stopped.chunks
    again.reload(next=0)
    assert again.run(run).duplicates == 0
    assert (again.row.new_ids, again.state.events) == ([], 2)
    again.store()
    assert days(again) == days(stopped) != {}


def test_uses_of_which_everything_was_stored_change_nothing() -> None:
    run = Run()
    uses = [Use(TENANT, NAME, f"u{number}", "test", "usage.login", NINE, UseData(person="ana")) for number in range(2)]
    run.append(ID, uses, [0, 1], [NINE, NINE])
    desk = Desk()
    desk.run(run)
    desk.store()
    before = days(desk)
    desk.reload(next=0)
    step = desk.run(run)
    assert (set(step.touched), step.duplicates) == ({ID}, 0)  # to be told again
    assert (desk.row.new_ids, desk.state.events) == ([], 2)
    desk.store()
    assert days(desk) == before


def days(desk: Desk) -> dict[str, object]:
    return {name: month.days for name, month in desk.months.items()}
