"""The rules as the page on playbooks lists them, made from their declarations."""

from __future__ import annotations

from collections.abc import Iterator

from shared.domain.contract.guide import between
from shared.domain.rules.declaration import Params, Rule, StateRule
from shared.domain.rules.table import RULES
from shared.playbooks.parameters import Parameter, parameters

BEGIN = "<!-- Written by docs/schema/write.py from shared/domain/rules: -->"


def with_rules(page: str) -> str:
    """The page with the list of rules between its marks as it must be; ValueError where it has no marks."""
    return between(page, BEGIN, rules_listed(), "list of rules")


def rules_listed() -> str:
    """Every rule, and every parameter, in Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "| rule | says | flag | judged | cooldown |"
    yield "|---|---|---|---|---|"
    for rule in RULES.values():
        cells = (f"`{rule.name}`", _cell(rule.about), rule.polarity, _judged(rule), _days(rule.cooldown_days))
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield "| rule | parameter | default | allowed | what it is |"
    yield "|---|---|---|---|---|"
    for params, names in _by_params().items():
        for number, parameter in enumerate(parameters(params)):
            yield f"| {', '.join(names) if number == 0 else ''} | {_cells(parameter)} |"


def _by_params() -> dict[type[Params], list[str]]:
    """Rules that have the same parameters, together."""
    found: dict[type[Params], list[str]] = {}
    for rule in RULES.values():
        found.setdefault(rule.params, []).append(f"`{rule.name}`")
    return found


def _judged(rule: Rule) -> str:
    return "at the relationship's own moments" if isinstance(rule, StateRule) else "on the event"


def _days(days: float) -> str:
    return f"{days:g} {'day' if days == 1 else 'days'}" if days else "none"


def _cells(parameter: Parameter) -> str:
    return f"`{parameter.name}` | {_cell(parameter.default)} | {_cell(parameter.allowed)} | {_cell(parameter.about)}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
