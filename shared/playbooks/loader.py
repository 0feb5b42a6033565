"""Playbooks from YAML, strictly: an error names the file, line, column and key, and says what is allowed."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import yaml

from shared.domain.errors import Misconfigured
from shared.domain.playbooks.model import Playbook, bare_playbook
from shared.domain.relationship.flags import Rule
from shared.playbooks.nodes import InvalidNode, Mark, compose, entries, field_types, read_struct, read_value, refuse

MAX_BYTES = 256 * 1024


def load_playbook(path: str | Path | None = None) -> Playbook:
    """The playbook in a file laid over the built-in one; without a path (or an empty one) the built-in one itself.

    Raises Misconfigured with `file:line:column: key: what is wrong; what is allowed`.
    """
    return parse_playbook(_read(Path(path)), str(path), builtin_playbook()) if path else builtin_playbook()


def builtin_playbook() -> Playbook:
    """The playbook that comes with Rapport."""
    source = files("shared.playbooks") / "builtin" / "default.yaml"
    return parse_playbook(source.read_text(encoding="utf-8"), "built-in playbook", bare_playbook())


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
        named = entries(given["rules"], ("rules",), names=tuple(Rule), noun="rule")
        rules |= {Rule(name): read_struct(node, rules[Rule(name)], ("rules", name)) for name, node in named.items()}
    return Playbook(version=version, rules=rules)
