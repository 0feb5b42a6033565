"""What is written of a playbook is read as the same."""

from __future__ import annotations

import re

import pytest

from shared.domain.playbooks.model import Playbook
from shared.domain.rules.table import RULES
from shared.playbooks.loader import builtin_playbook, parse_playbook
from shared.playbooks.parameters import parameters
from shared.playbooks.writing import written

ODD = r"""
version: "1.0"
rules:
  usage_drop:
    enabled: false
    severity: info
    cooldown_days: 0.5
    channels: []
    advice: ["a: b", "# no comment", "- 'x' \"y\"", " ö\n\te\x1b ", "null", "1", "[a, b]", "don’t: {x}, *y &z"]
    params: {minimum: 1000000, significance: 0.00001}
    overrides:
      - match: {tenant: ["1", "true"], kind: [Partner], type: ["a, b"], segment: ["x: y"], tier: [gold], stage: ["#"]}
        enabled: true
        severity: critical
        cooldown_days: 0
        params: {warn: 0.3, minimum: 5}
      - match: {tier: ["no"]}
  silence: {severity: null, advice: []}
  price_change_planned: {params: {kinds: [], types: ["Key: Account"]}}
"""


@pytest.mark.parametrize("playbook", [builtin_playbook(), parse_playbook(ODD, "odd", builtin_playbook())])
def test_it_is_read_as_the_same(playbook: Playbook) -> None:
    assert parse_playbook(written(playbook), "written", builtin_playbook()) == playbook


def test_whole_numbers_stay_whole_when_they_are_read_again() -> None:
    text = written(builtin_playbook())
    assert written(parse_playbook(text, "written", builtin_playbook())) == text
    odd = parse_playbook(ODD, "odd", builtin_playbook())
    assert "\n        params: {minimum: 5, warn: 0.3}\n" in written(odd)
    assert re.findall(r": \d+\.0\b", written(odd)) == []


def test_it_says_what_severity_and_channels_may_be() -> None:
    text = written(parse_playbook(ODD, "odd", builtin_playbook()))
    assert "\n    severity: info  # null (the rule's own) or one of info, warning, critical\n" in text
    assert "\n    channels: []  # any of webhook, log; none: it is in the inbox alone\n" in text


def test_every_rule_and_parameter_is_explained() -> None:
    text = written(builtin_playbook())
    for rule in RULES.values():
        assert f"\n  # {rule.about}\n  {rule.name}:\n" in text
        for one in parameters(rule.params):
            assert f"\n      {one.name}: {one.default}  # {one.about}: {one.allowed}\n" in text
