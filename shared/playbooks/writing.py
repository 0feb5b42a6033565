"""A playbook as YAML, whole, with what its rules and parameters are in comments. Reading it gives the same again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from shared.domain.playbooks.model import ChannelName, Override, Playbook, RuleSettings
from shared.domain.relationship.flags import Severity
from shared.domain.rules.declaration import Rule
from shared.domain.rules.table import RULES
from shared.playbooks.parameters import in_yaml, parameters

SEVERITY = f"null (the rule's own) or one of {', '.join(Severity)}"
CHANNELS = f"any of {', '.join(ChannelName)}; none: it is in the inbox alone"


def written(playbook: Playbook) -> str:
    """The playbook as its loader reads it."""
    lines = [f"version: {in_yaml(playbook.version)}", "rules:"]
    for name, settings in playbook.rules.items():
        lines += ["", f"  # {RULES[name].about}", f"  {name}:", *_indented(_rule(settings, RULES[name]), 4)]
    return "\n".join(lines) + "\n"


def _rule(settings: RuleSettings, rule: Rule) -> Iterator[str]:
    yield f"enabled: {in_yaml(settings.enabled)}"
    yield f"severity: {in_yaml(settings.severity)}  # {SEVERITY}"
    yield f"cooldown_days: {in_yaml(settings.cooldown_days)}"
    yield f"channels: {in_yaml(settings.channels)}  # {CHANNELS}"
    yield from _list("advice", [[in_yaml(line)] for line in settings.advice])
    known = parameters(rule.params)
    yield "params:" if known else "params: {}"
    for one in known:
        value = in_yaml(getattr(settings.params, one.name))
        yield f"  {one.name}: {value}  # {one.about}{': ' if one.about else ''}{one.allowed}"
    yield from _list("overrides", map(_override, settings.overrides))


def _override(override: Override) -> list[str]:
    """What it names, and nothing else."""
    given: dict[str, Any] = {
        name: value
        for name, value in msgspec.structs.asdict(override).items()
        if name != "match" and value not in (None, {})
    }
    match = {name: list(values) for name, values in msgspec.structs.asdict(override.match).items() if values}
    return [f"match: {in_yaml(match)}", *(f"{name}: {in_yaml(value)}" for name, value in given.items())]


def _list(key: str, entries: Iterable[list[str]]) -> list[str]:
    lines = [line for first, *rest in entries for line in (f"  - {first}", *_indented(rest, 4))]
    return [f"{key}:", *lines] if lines else [f"{key}: []"]


def _indented(lines: Iterable[str], by: int) -> Iterator[str]:
    return (" " * by + line for line in lines)
