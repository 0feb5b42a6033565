"""YAML into typed values, strictly: every error names file, line and key."""

from __future__ import annotations

import datetime
import re
from typing import Any, TypeVar

import msgspec
import yaml

from shared.domain.errors import Misconfigured

T = TypeVar("T")

_UNKNOWN = re.compile(r"unknown field `(?P<field>[^`]+)`")
_PATH = re.compile(r" - at `(?P<path>[^`]+)`$")


class Document(msgspec.Struct, frozen=True):
    """The plain values of a YAML file, and the line of each by its path (`$.events[0].time`)."""

    file: str
    values: Any
    lines: dict[str, int]

    def fault(self, path: str, what: str) -> Misconfigured:
        """An error that names file, line and key; a path that is not in the file falls back to its parent."""
        at = path
        while at not in self.lines and at != "$":
            at = at[: max(at.rfind("."), at.rfind("["))] or "$"
        key = path.removeprefix("$").removeprefix(".")
        return Misconfigured(f"{self.file}:{self.lines.get(at, 1)}: {key or 'document'}: {what}")


def parse(text: str, file: str) -> Document:
    """The document; a syntax error or a key given twice is `Misconfigured`."""
    loader = yaml.SafeLoader(text)
    lines: dict[str, int] = {}
    try:
        node = loader.get_single_node()
        values = None if node is None else _walk(loader, node, "$", lines, file)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Misconfigured(f"{file}:{line}: not YAML: {error.problem or error}") from error
    finally:
        loader.dispose()
    return Document(file, values, lines)


def _walk(loader: yaml.SafeLoader, node: yaml.Node, path: str, lines: dict[str, int], file: str) -> Any:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return [_walk(loader, item, f"{path}[{n}]", lines, file) for n, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        value = loader.construct_object(node, deep=True)
        return value.isoformat() if isinstance(value, datetime.date) else value
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        if key in found:
            raise Misconfigured(f"{file}:{key_node.start_mark.line + 1}: {key}: given twice")
        found[key] = _walk(loader, value_node, f"{path}.{key}", lines, file)
        lines[f"{path}.{key}"] = key_node.start_mark.line + 1
    return found


def convert(document: Document, kind: type[T], path: str = "$", values: Any = msgspec.UNSET) -> T:
    """The document (or the part of it at `path`) as a `kind`; what does not fit is `Misconfigured`."""
    try:
        return msgspec.convert(document.values if values is msgspec.UNSET else values, kind)
    except msgspec.ValidationError as error:
        text = str(error)
        at = _PATH.search(text)
        where = path + (at["path"].removeprefix("$") if at else "")
        unknown = _UNKNOWN.search(text)
        if unknown:
            allowed = ", ".join(field.encode_name for field in msgspec.structs.fields(_struct_at(kind, where, path)))
            raise document.fault(f"{where}.{unknown['field']}", f"no such key; known are: {allowed}") from error
        raise document.fault(where, _PATH.sub("", text)) from error


def _struct_at(kind: Any, where: str, base: str) -> Any:
    """The struct type found by following `where` (from `base`) through the fields of `kind`."""
    for name in re.findall(r"\.(\w+)", where.removeprefix(base)):
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
        kind = _inner(fields[name])
    return kind


def _inner(kind: Any) -> Any:
    for argument in getattr(kind, "__args__", ()):
        if argument is not type(None):
            return _inner(argument)
    return kind
