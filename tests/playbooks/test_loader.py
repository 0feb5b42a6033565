"""A playbook loads as a whole or is refused with the place and with what is allowed there."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.domain.errors import Misconfigured
from shared.domain.playbooks.model import (
    ChannelName,
    DetractorParams,
    DropParams,
    ExpectationParams,
    PriceChangeParams,
    SilenceParams,
)
from shared.domain.relationship.flags import Rule, Severity
from shared.playbooks.loader import builtin_playbook, load_playbook, parse_playbook


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "team.yaml"
    path.write_text(text)
    return path


def test_the_builtin_playbook_holds_every_rule_with_advice_and_channels() -> None:
    playbook = load_playbook()
    assert set(playbook.rules) == set(Rule)
    assert playbook.version == "1"
    for settings in playbook.rules.values():
        assert settings.enabled
        assert settings.advice
        assert settings.channels == (ChannelName.WEBHOOK, ChannelName.LOG)
    assert playbook.params(Rule.USAGE_DROP, DropParams) == DropParams(
        window_days=7, baseline_weeks=8, warn=0.2, critical=0.5, minimum=20.0, significance=0.01
    )
    assert playbook.params(Rule.FEATURE_DECLINE, DropParams) == DropParams()
    assert playbook.params(Rule.SILENCE, SilenceParams) == SilenceParams(minimum_days=5, factor=1.5, minimum_touches=4)
    assert playbook.params(Rule.EXPECTATION_VIOLATED, ExpectationParams).warn_hours == 24
    assert playbook.params(Rule.NPS_DETRACTOR, DetractorParams).detractor_max == 6
    assert playbook.params(Rule.PRICE_CHANGE_PLANNED, PriceChangeParams) == PriceChangeParams(
        kinds=("partner",), types=("partner", "bff")
    )


def test_an_empty_path_means_the_builtin_playbook() -> None:
    assert load_playbook("") == builtin_playbook()


def test_a_playbook_is_laid_over_the_builtin_one(tmp_path: Path) -> None:
    playbook = load_playbook(
        written(
            tmp_path,
            """
version: "team-3"
rules:
  silence: {enabled: false}
  usage_drop:
    severity: critical
    channels: [log]
    params: {warn: 0.3}
  nps_detractor:
    severity: null
    advice: []
""",
        )
    )
    builtin = builtin_playbook()
    assert playbook.version == "team-3"
    assert not playbook.rules[Rule.SILENCE].enabled
    assert playbook.rules[Rule.SILENCE].params == builtin.rules[Rule.SILENCE].params
    drop = playbook.rules[Rule.USAGE_DROP]
    assert (drop.severity, drop.channels) == (Severity.CRITICAL, (ChannelName.LOG,))
    assert drop.advice == builtin.rules[Rule.USAGE_DROP].advice
    assert playbook.params(Rule.USAGE_DROP, DropParams) == DropParams(warn=0.3)
    assert playbook.rules[Rule.NPS_DETRACTOR].severity is None
    assert playbook.rules[Rule.NPS_DETRACTOR].advice == ()
    assert playbook.rules[Rule.FEATURE_DECLINE] == builtin.rules[Rule.FEATURE_DECLINE]


def test_asking_for_the_wrong_kind_of_thresholds_is_a_defect() -> None:
    with pytest.raises(TypeError, match="silence has SilenceParams, not DropParams"):
        builtin_playbook().params(Rule.SILENCE, DropParams)


RULES = "usage_drop, feature_decline, silence, expectation_violated, nps_detractor, price_change_planned"
CHANNELS = ", ".join(ChannelName)
DROP_KEYS = "window_days, baseline_weeks, warn, critical, minimum, significance"
SETTINGS = "enabled, severity, cooldown_days, channels, advice, params"


def drop(line: str) -> str:
    return f'version: "1"\nrules:\n  usage_drop:\n    params:\n      {line}\n'


def rule(line: str) -> str:
    return f'version: "1"\nrules:\n  silence:\n    {line}\n'


BROKEN = [
    ("", "1:1: the file is empty; it needs a version and rules"),
    ("rules: {}\n", '1:1: version is missing; give one in quotes, such as version: "1"'),
    ("- a\n", "1:1: expected a mapping with version, rules, not a list"),
    ("version: 1\n", "1:10: version: expected text of 1 to 50 characters (numbers in quotes), not '1'"),
    ('version: ""\n', "1:10: version: expected text of 1 to 50 characters (numbers in quotes), not ''"),
    ('version: "1"\nruels: {}\n', "2:1: ruels: unknown key; allowed are version, rules"),
    ('version: "1"\nversion: "2"\n', "2:1: version: given twice, first at line 1; leave one"),
    ('version: "1"\nrules: [silence]\n', f"2:8: rules: expected a mapping with {RULES}, not a list"),
    ('version: "1"\nrules:\n', f"2:7: rules: expected a mapping with {RULES}, not nothing"),
    (
        'version: "1"\nrules:\n  usage_dorp: {}\n',
        f"3:3: rules.usage_dorp: unknown rule; allowed are {RULES}",
    ),
    ('version: "1"\nrules:\n  [a]: {}\n', f"3:3: rules.a list: unknown rule; allowed are {RULES}"),
    (
        'version: "1"\nrules:\n  silence: {}\n  silence: {}\n',
        "4:3: rules.silence: given twice, first at line 3; leave one",
    ),
    (rule("enable: true"), f"4:5: rules.silence.enable: unknown key; allowed are {SETTINGS}"),
    (rule("enabled: yes"), "4:14: rules.silence.enabled: expected true or false, not 'yes'"),
    (rule("enabled: 1"), "4:14: rules.silence.enabled: expected true or false, not '1'"),
    (
        rule("severity: fatal"),
        "4:15: rules.silence.severity: expected one of info, warning, critical, not 'fatal'",
    ),
    (
        rule("severity: [critical]"),
        "4:15: rules.silence.severity: expected one of info, warning, critical, not a list",
    ),
    (
        rule("cooldown_days: -1"),
        "4:20: rules.silence.cooldown_days: expected a number of at least 0 and at most 365, not '-1'",
    ),
    (rule("channels: log"), f"4:15: rules.silence.channels: expected a list of one of {CHANNELS}, not 'log'"),
    (rule("channels: [log, fax]"), f"4:21: rules.silence.channels[1]: expected one of {CHANNELS}, not 'fax'"),
    (rule("channels: [log, log]"), "4:21: rules.silence.channels[1]: 'log' is listed twice; leave one"),
    (
        rule("advice: [7]"),
        "4:14: rules.silence.advice[0]: expected text of 1 to 500 characters (numbers in quotes), not '7'",
    ),
    (
        rule("params: {warn: 0.3}"),
        "4:14: rules.silence.params.warn: unknown key; allowed are minimum_days, factor, minimum_touches",
    ),
    (
        rule("params: 3"),
        "4:13: rules.silence.params: expected a mapping with minimum_days, factor, minimum_touches, not '3'",
    ),
    (drop("wran: 0.3"), f"5:7: rules.usage_drop.params.wran: unknown key; allowed are {DROP_KEYS}"),
    (drop("warn: 1.5"), "5:13: rules.usage_drop.params.warn: expected a number above 0 and below 1, not '1.5'"),
    (drop("warn: .inf"), "5:13: rules.usage_drop.params.warn: expected a number above 0 and below 1, not '.inf'"),
    (drop("warn: .nan"), "5:13: rules.usage_drop.params.warn: expected a number above 0 and below 1, not '.nan'"),
    (drop("warn: 20%"), "5:13: rules.usage_drop.params.warn: expected a number above 0 and below 1, not '20%'"),
    (drop("warn: '0.2'"), "5:13: rules.usage_drop.params.warn: expected a number above 0 and below 1, not '0.2'"),
    (
        drop("window_days: 7.5"),
        "5:20: rules.usage_drop.params.window_days: expected a whole number of at least 1 and at most 365, not '7.5'",
    ),
    (
        drop("window_days: 0x10"),
        "5:20: rules.usage_drop.params.window_days: expected a whole number of at least 1 and at most 365, not '0x10'",
    ),
    (drop("warn: 0.6"), "5:7: rules.usage_drop.params: critical (0.5) must not be below warn (0.6)"),
    (drop("warn: 0.2\n      warn: 0.3"), "6:7: rules.usage_drop.params.warn: given twice, first at line 5; leave one"),
    (
        'version: "1"\nrules: {price_change_planned: {params: {kinds: [vendor]}}}\n',
        "2:49: rules.price_change_planned.params.kinds[0]: expected one of customer, partner, supplier, employee, "
        "investor, community, not 'vendor'",
    ),
    ('version: &v "1"\n', "1:10: not valid YAML: anchors and aliases are not allowed; write it out"),
    ("version: *v\n", "1:10: not valid YAML: anchors and aliases are not allowed; write it out"),
    ('version: "1"\nrules: ' + "[" * 5_000, "2:17: not valid YAML: nested more than 10 deep"),
    ('version: "1"\nrules: {', "2:9: not valid YAML: expected the node content, but found '<stream end>'"),
    ('version: "1"\n---\nversion: "2"\n', "2:1: not valid YAML: but found another document"),
    ('version: "1"\n\trules: {}\n', "2:1: not valid YAML: found character '\\t' that cannot start any token"),
    ('version: "1\x07"\n', "1:12: not valid YAML: special characters are not allowed"),
    (
        "version: !!python/object/apply:os.system [ls]\n",
        "1:10: version: expected text of 1 to 50 characters (numbers in quotes), not a list",
    ),
]


@pytest.mark.parametrize(("text", "message"), BROKEN)
def test_a_broken_playbook_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(Misconfigured) as refused:
        load_playbook(path)
    assert str(refused.value) == f"{path}:{message}"


def test_the_source_is_named_in_errors() -> None:
    with pytest.raises(Misconfigured, match=r"^somewhere:1:1: x: unknown key"):
        parse_playbook("x: 1", "somewhere", builtin_playbook())


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"none.yaml: cannot be read \(No such file or directory\); name"):
        load_playbook(tmp_path / "none.yaml")


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "#" * (256 * 1024 + 1))
    with pytest.raises(Misconfigured, match="larger than 256 KB"):
        load_playbook(path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "team.yaml"
    path.write_bytes(b'version: "\xff"')
    with pytest.raises(Misconfigured, match=r"is not UTF-8 text \(byte 10\)"):
        load_playbook(path)


def test_the_example_of_the_guide_loads() -> None:
    guide = Path(__file__).parents[2] / "docs" / "playbooks.md"
    example = guide.read_text().split("```yaml\n")[1].split("```")[0]
    playbook = parse_playbook(example, "guide", builtin_playbook())
    assert playbook.version == "team-3"
    assert playbook.params(Rule.USAGE_DROP, DropParams).warn == 0.3
    assert not playbook.rules[Rule.SILENCE].enabled
