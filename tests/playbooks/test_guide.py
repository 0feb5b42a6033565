"""The page on playbooks says what there is, and its examples hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from shared.domain.playbooks.model import ChannelName, Match, Override, Playbook
from shared.domain.playbooks.resolver import Resolver
from shared.domain.relationship.flags import Severity
from shared.domain.relationship.state import Directory, RelationshipState
from shared.domain.rules.declaration import Params
from shared.domain.rules.table import RULES
from shared.domain.rules.usage import DropParams
from shared.playbooks.guide import BEGIN, rules_listed, with_rules
from shared.playbooks.loader import builtin_playbook, parse_playbook
from shared.playbooks.parameters import Parameter, parameters

PAGE = (Path(__file__).parents[2] / "docs" / "playbooks.md").read_text(encoding="utf-8")


def example(number: int) -> Playbook:
    text = PAGE.split("```yaml\n")[1 + number].split("```")[0]
    return parse_playbook(text, "guide", builtin_playbook())


def test_the_page_lists_the_rules_there_are() -> None:
    assert with_rules(PAGE) == PAGE, "run: .venv/bin/python docs/schema/write.py"


def test_every_rule_and_parameter_is_listed() -> None:
    listed = rules_listed()
    for rule in RULES.values():
        assert f"| `{rule.name}` | {rule.about} | {rule.polarity} |" in listed
        for parameter in parameters(rule.params):
            assert f"| `{parameter.name}` | {parameter.default} | {parameter.allowed} | {parameter.about} |" in listed


def test_every_parameter_is_described() -> None:
    assert [one.name for rule in RULES.values() for one in parameters(rule.params) if not one.about] == []


def test_what_a_parameter_is() -> None:
    class Some(Params, frozen=True, kw_only=True):
        bare: float = 1e6
        of_many: Annotated[int, msgspec.Meta(le=5_000_000, description="so many")] = 2

    assert parameters(Some) == [
        Parameter("bare", "1000000", "a number", ""),
        Parameter("of_many", "2", "a whole number at most 5000000", "so many"),
    ]


def test_a_page_without_marks_is_not_written_to() -> None:
    with pytest.raises(ValueError, match="where the list of rules belongs"):
        with_rules(f"# A page\n\n{BEGIN}\n")


def test_the_first_example() -> None:
    playbook = example(0)
    assert playbook.version == "team-3"
    assert playbook.rules["usage_drop"].params == DropParams(warn=0.3)
    assert not playbook.rules["silence"].enabled


def test_the_example_of_overrides() -> None:
    resolver = Resolver(example(1))

    def of(**said: str) -> tuple[bool, Severity | None, DropParams]:
        state = RelationshipState(id="t/a", tenant="t", relationship="a", directory=Directory(**said))
        mine = resolver.of(state)["usage_drop"]
        assert isinstance(mine.params, DropParams)
        return mine.enabled, mine.severity, mine.params

    assert of(segment="Enterprise", tier="Gold") == (True, Severity.CRITICAL, DropParams(warn=0.1, critical=0.6))
    assert of(segment="Enterprise", kind="partner") == (True, None, DropParams(warn=0.15, critical=0.6))
    assert of(segment="other", kind="partner") == (False, None, DropParams(critical=0.6))
    assert of(segment="other", tier="gold") == (True, None, DropParams(critical=0.6))


def test_the_page_names_all_that_may_be_set() -> None:
    said = PAGE.split("An override may set ")[1].split("; what it does not name")[0]
    assert re.findall(r"`(\w+)`", said) == [name for name in Override.__struct_fields__ if name != "match"]
    said = PAGE.split("`match` says which ones, by ")[1].split(": all that it names")[0]
    assert re.findall(r"`(\w+)`", said) == list(Match.__struct_fields__)
    assert all(f"webhook, {channel}" in PAGE for channel in ChannelName if channel != "webhook")
