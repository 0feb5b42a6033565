"""A playbook loads as a whole or is refused with the place and with what is allowed there."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.domain.errors import Misconfigured
from shared.domain.playbooks.model import ChannelName, Match, Override
from shared.domain.relationship.flags import Severity
from shared.domain.rules.table import RULES
from shared.domain.rules.usage import DropParams
from shared.playbooks.loader import builtin_playbook, load_playbook, parse_playbook


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "team.yaml"
    path.write_text(text)
    return path


def test_the_builtin_playbook_holds_every_rule_with_advice_and_channels() -> None:
    playbook = load_playbook()
    assert list(playbook.rules) == list(RULES)
    assert playbook.version == "1"
    for name, settings in playbook.rules.items():
        assert settings.enabled
        assert settings.advice == RULES[name].advice != ()
        assert settings.params == RULES[name].params()
        assert settings.cooldown_days == RULES[name].cooldown_days
        assert settings.channels == (ChannelName.WEBHOOK, ChannelName.LOG)


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
    assert not playbook.rules["silence"].enabled
    assert playbook.rules["silence"].params == builtin.rules["silence"].params
    drop = playbook.rules["usage_drop"]
    assert (drop.severity, drop.channels) == (Severity.CRITICAL, (ChannelName.LOG,))
    assert drop.advice == builtin.rules["usage_drop"].advice
    assert drop.params == DropParams(warn=0.3)
    assert playbook.rules["nps_detractor"].severity is None
    assert playbook.rules["nps_detractor"].advice == ()
    assert playbook.rules["feature_decline"] == builtin.rules["feature_decline"]


NAMES = ", ".join(RULES)
CHANNELS = ", ".join(ChannelName)
DROP_KEYS = "window_days, baseline_weeks, warn, critical, minimum, significance"
SETTINGS = "enabled, severity, cooldown_days, channels, advice, params, overrides"


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
    ('version: "1"\nrules: [silence]\n', f"2:8: rules: expected a mapping with {NAMES}, not a list"),
    ('version: "1"\nrules:\n', f"2:7: rules: expected a mapping with {NAMES}, not nothing"),
    (
        'version: "1"\nrules:\n  usage_dorp: {}\n',
        f"3:3: rules.usage_dorp: unknown rule; allowed are {NAMES}",
    ),
    ('version: "1"\nrules:\n  [a]: {}\n', f"3:3: rules.a list: unknown rule; allowed are {NAMES}"),
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


OVERRIDES = """
version: "1"
rules:
  usage_drop:
    params: {critical: 0.6}
    overrides:
      - match: {segment: [Enterprise], tier: [gold, silver]}
        severity: critical
        params: {warn: 0.1}
      - {match: {kind: [partner]}, enabled: false, cooldown_days: 2}
"""


def test_overrides_are_read_in_their_order() -> None:
    settings = parse_playbook(OVERRIDES, "team.yaml", builtin_playbook()).rules["usage_drop"]
    assert settings.params == DropParams(critical=0.6)
    assert settings.overrides == (
        Override(
            match=Match(segment=("Enterprise",), tier=("gold", "silver")),
            severity=Severity.CRITICAL,
            params={"warn": 0.1},
        ),
        Override(match=Match(kind=("partner",)), enabled=False, cooldown_days=2.0),
    )


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("3", "5:16: rules.usage_drop.overrides: expected a list of overrides, each with match, not '3'"),
        (
            "[{}]",
            "5:17: rules.usage_drop.overrides[0]: match is missing; say which relationships by tenant, kind, type,",
        ),
        ("[{match: {}}]", "5:17: rules.usage_drop.overrides[0]: match is missing"),
        ("[{match: {city: [x]}}]", "5:26: rules.usage_drop.overrides[0].match.city: unknown key; allowed are tenant,"),
        (
            "[{match: {kind: [x]}, params: {warn: 2}}]",
            "5:53: rules.usage_drop.overrides[0].params.warn: expected a number above 0 and below 1, not '2'",
        ),
        (
            "[{match: {kind: [x]}, params: {warn: 0.9}}]",
            "5:17: rules.usage_drop.overrides[0]: critical (0.5) must not be below warn (0.9)",
        ),
        ("[{match: {kind: [x]}, channels: [log]}]", "5:38: rules.usage_drop.overrides[0].channels: unknown key"),
    ],
)
def test_an_override_that_cannot_be(line: str, error: str) -> None:
    text = f'version: "1"\nrules:\n  usage_drop:\n    enabled: true\n    overrides: {line}\n'
    with pytest.raises(Misconfigured) as refused:
        parse_playbook(text, "team.yaml", builtin_playbook())
    assert str(refused.value).startswith(f"team.yaml:{error}")


def overrides(*items: str) -> str:
    """A playbook whose rule usage_drop has these overrides, the first one at line 5."""
    listed = "".join(f"      - {item}\n" for item in items)
    return f'version: "1"\nrules:\n  usage_drop:\n    overrides:\n{listed}'


@pytest.mark.parametrize(
    ("later", "error"),
    [
        (
            "match: {tier: [GOLD], segment: [b, a]}",
            "7:16: rules.usage_drop.overrides[2].match: the same as that of overrides[0] at line 5, and only the first"
            " override that matches counts; make one of the two",
        ),
        (
            "match: {segment: [a], tier: [gold], kind: [partner]}",
            "7:16: rules.usage_drop.overrides[2].match: overrides[0] at line 5 matches all of these, and only the first"
            " override that matches counts; put the narrower one first",
        ),
        (
            "match: {stage: [trial], tier: [gold]}",
            "7:16: rules.usage_drop.overrides[2].match: overrides[1] at line 6 matches all of these, and only the first"
            " override that matches counts; put the narrower one first",
        ),
    ],
)
def test_an_override_that_could_never_count_is_refused(later: str, error: str) -> None:
    text = overrides("match: {segment: [a, b], tier: [gold]}", "match: {stage: [Trial]}", later)
    with pytest.raises(Misconfigured) as refused:
        parse_playbook(text, "team.yaml", builtin_playbook())
    assert str(refused.value) == f"team.yaml:{error}"


def test_an_override_may_match_some_that_an_earlier_one_matches() -> None:
    text = overrides(
        "match: {segment: [a], tier: [gold]}", "match: {segment: [a, b]}", "match: {tier: [gold]}", "match: {kind: [a]}"
    )
    assert len(parse_playbook(text, "team.yaml", builtin_playbook()).rules["usage_drop"].overrides) == 4
