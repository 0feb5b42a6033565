"""Playbooks from YAML, strictly: an error names the file, line, column and key, and says what is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from shared.domain.errors import Misconfigured
from shared.domain.playbooks.model import Match, Override, Playbook, RuleSettings, default_playbook
from shared.domain.playbooks.resolver import covers, laid_over
from shared.domain.rules.table import RULES
from shared.playbooks.nodes import (
    InvalidNode,
    Key,
    Mark,
    compose,
    entries,
    field_types,
    items,
    read_fields,
    read_struct,
    read_value,
    refuse,
    replaced,
)

MAX_BYTES = 256 * 1024


def load_playbook(path: str | Path | None = None) -> Playbook:
    """The playbook in a file laid over the built-in one; without a path (or an empty one) the built-in one itself.

    Raises Misconfigured with `file:line:column: key: what is wrong; what is allowed`.
    """
    return parse_playbook(_read(Path(path)), str(path), builtin_playbook()) if path else builtin_playbook()


def builtin_playbook() -> Playbook:
    """The playbook that comes with Rapport: every rule as it declares itself."""
    return default_playbook()


def parse_playbook(text: str, source: str, base: Playbook) -> Playbook:
    """The playbook in `text`, laid over `base`. `source` names it in errors."""
    try:
        root = compose(text)
        if root is None:
            raise InvalidNode(Mark(1, 1), (), "the file is empty; it needs a version and rules")
        return _playbook(root, base)
    except InvalidNode as refused:
        where = f"{source}:{refused.mark.line}:{refused.mark.column}"
        key = ".".join(refused.key)
        raise Misconfigured(f"{where}: {key + ': ' if key else ''}{refused.text}") from refused


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Misconfigured(f"{path}: larger than {MAX_BYTES // 1024} KB; is it the right file?")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Misconfigured(f"{path}: cannot be read ({error.strerror}); name a playbook in YAML") from error
    except UnicodeDecodeError as error:
        raise Misconfigured(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _playbook(root: yaml.Node, base: Playbook) -> Playbook:
    given = entries(root, (), names=("version", "rules"))
    if "version" not in given:
        raise refuse(root, (), 'version is missing; give one in quotes, such as version: "1"')
    version = read_value(given["version"], field_types(Playbook)["version"], ("version",))
    rules = dict(base.rules)
    if "rules" in given:
        named = entries(given["rules"], ("rules",), names=tuple(RULES), noun="rule")
        rules |= {name: _rule(node, rules[name], ("rules", name)) for name, node in named.items()}
    return Playbook(version=version, rules=rules)


def _rule(node: yaml.Node, base: RuleSettings, key: Key) -> RuleSettings:
    settings = replaced(node, base, read_fields(node, base, key, but=("overrides",)), key)
    listed = entries(node, key, names=tuple(field_types(RuleSettings))).get("overrides")
    if listed is None:
        return settings
    return replaced(node, settings, {"overrides": tuple(_overrides(listed, settings, (*key, "overrides")))}, key)


def _overrides(listed: yaml.Node, settings: RuleSettings, key: Key) -> Iterator[Override]:
    """The first one that matches a relationship counts, so one that matches all would hide what follows it."""
    before: list[tuple[Match, int]] = []  # with their lines
    for number, node in enumerate(items(listed, key, "overrides, each with match")):
        mine = (*key[:-1], f"{key[-1]}[{number}]")
        given = entries(node, mine, names=tuple(field_types(Override)))
        if "match" not in given or (match := read_struct(given["match"], Match(), (*mine, "match"))) == Match():
            raise refuse(node, mine, f"match is missing; say which relationships by {', '.join(field_types(Match))}")
        _see_that_it_counts(given["match"], match, before, (*mine, "match"))
        before.append((match, node.start_mark.line + 1))
        values = read_fields(node, Override(match=match), mine, but=("match", "params"))
        if "params" in given:
            values["params"] = read_fields(given["params"], settings.params, (*mine, "params"))
        override = Override(match=match, **values)
        try:
            laid_over(settings, override)
        except ValueError as error:
            raise refuse(node, mine, str(error)) from error
        yield override


def _see_that_it_counts(node: yaml.Node, match: Match, before: Sequence[tuple[Match, int]], key: Key) -> None:
    """Refuse the match of an override that could never count, because an earlier one matches all that it does."""
    for number, (earlier, line) in enumerate(before):
        if covers(earlier, match):
            that, first = f"overrides[{number}] at line {line}", "and only the first override that matches counts"
            if covers(match, earlier):
                raise refuse(node, key, f"the same as that of {that}, {first}; make one of the two")
            raise refuse(node, key, f"{that} matches all of these, {first}; put the narrower one first")
