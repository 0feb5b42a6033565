"""YAML nodes to frozen structs: types and ranges come from the structs, places in the file from the nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import inspect

MAX_DEPTH = 10

S = TypeVar("S", bound=msgspec.Struct)
Key = tuple[str, ...]


class Mark(msgspec.Struct, frozen=True):
    """A place in the file; both count from 1."""

    line: int
    column: int


class InvalidNode(Exception):
    """Something in the file is not as it must be: where, at which key, and what is allowed."""

    def __init__(self, mark: Mark, key: Key, text: str) -> None:
        super().__init__(text)
        self.mark = mark
        self.key = key
        self.text = text


def refuse(node: yaml.Node, key: Key, text: str) -> InvalidNode:
    """The error to raise about a node."""
    return InvalidNode(Mark(node.start_mark.line + 1, node.start_mark.column + 1), key, text)


class _Loader(yaml.SafeLoader):
    """Composes nodes only; no anchors, so that a few lines cannot grow into gigabytes, and no deep nesting."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise yaml.MarkedYAMLError(
                None, None, "anchors and aliases are not allowed; write it out", event.start_mark
            )
        if self.depth >= MAX_DEPTH:
            raise yaml.MarkedYAMLError(None, None, f"nested more than {MAX_DEPTH} deep", event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def compose(text: str) -> yaml.Node | None:
    """The root node of the one document in `text`, None if there is none; Refused where it is not YAML."""
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)
        raise InvalidNode(place, (), f"not valid YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        raise InvalidNode(_mark_at(text, error.position), (), f"not valid YAML: {error.reason}") from error


def _mark_at(text: str, position: int) -> Mark:
    before = text[:position]
    return Mark(before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)


def entries(node: yaml.Node, key: Key, *, names: Sequence[str], noun: str = "key") -> dict[str, yaml.Node]:
    """The entries of a mapping by key; Refused for another node, an unknown key, or one given twice."""
    if not isinstance(node, yaml.MappingNode):
        raise refuse(node, key, f"expected a mapping with {_words(names)}, not {_shown(node)}")
    found: dict[str, yaml.Node] = {}
    for name_node, value in node.value:
        name = name_node.value if isinstance(name_node, yaml.ScalarNode) else _shown(name_node)
        if name not in names:
            raise refuse(name_node, (*key, name), f"unknown {noun}; allowed are {_words(names)}")
        if name in found:
            first = found[name].start_mark.line + 1
            raise refuse(name_node, (*key, name), f"given twice, first at line {first}; leave one")
        found[name] = value
    return found


def field_types(struct: type[msgspec.Struct]) -> dict[str, inspect.Type]:
    """The types of a struct's fields by name."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return {field.name: _undescribed(field.type) for field in info.fields}


def _undescribed(kind: inspect.Type) -> inspect.Type:
    return kind.type if isinstance(kind, inspect.Metadata) else kind


def read_struct(node: yaml.Node, base: S, key: Key) -> S:
    """`base` with the fields that the mapping gives; fields that are structs are read into what `base` has there."""
    return replaced(node, base, read_fields(node, base, key), key)


def replaced(node: yaml.Node, base: S, values: dict[str, Any], key: Key) -> S:
    """`base` with these fields; InvalidNode, about the node, where they do not go together."""
    try:
        return msgspec.structs.replace(base, **values)
    except ValueError as error:  # what holds between fields
        raise refuse(node, key, str(error)) from error


def read_fields(node: yaml.Node, base: msgspec.Struct, key: Key, but: Sequence[str] = ()) -> dict[str, Any]:
    """The values that a mapping gives for fields of `base`, except for some, which are allowed and passed over."""
    types = field_types(type(base))
    values: dict[str, Any] = {}
    for name, child in entries(node, key, names=tuple(types)).items():
        present = getattr(base, name)
        if name in but:
            continue
        if isinstance(present, msgspec.Struct):
            values[name] = read_struct(child, present, (*key, name))
        else:
            values[name] = read_value(child, types[name], (*key, name))
    return values


def read_value(node: yaml.Node, kind: inspect.Type, key: Key) -> Any:
    """The value of a node as the type wants it; Refused where it is of another type or out of range."""
    if isinstance(kind, inspect.UnionType):  # an optional value
        if _is_null(node):
            return None
        (kind,) = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
    if isinstance(kind, inspect.VarTupleType):
        return _read_list(node, kind.item_type, key)
    if isinstance(kind, inspect.EnumType):
        return _read_enum(node, kind, key)
    return _read_scalar(node, kind, key)


def items(node: yaml.Node, key: Key, of: str) -> list[yaml.Node]:
    """The items of a list of what is `of` (in words); InvalidNode for another node."""
    if not isinstance(node, yaml.SequenceNode):
        raise refuse(node, key, f"expected a list of {of}, not {_shown(node)}")
    return list(node.value)


def _read_list(node: yaml.Node, kind: inspect.Type, key: Key) -> tuple[Any, ...]:
    found: list[Any] = []
    for number, item in enumerate(items(node, key, allowed(kind))):
        value = read_value(item, kind, (*key[:-1], f"{key[-1]}[{number}]"))
        if value in found:
            raise refuse(item, (*key[:-1], f"{key[-1]}[{number}]"), f"{_shown(item)} is listed twice; leave one")
        found.append(value)
    return tuple(found)


def _read_enum(node: yaml.Node, kind: inspect.EnumType, key: Key) -> Any:
    for member in kind.cls:
        if isinstance(node, yaml.ScalarNode) and node.value == member.value:
            return member
    raise refuse(node, key, f"expected {allowed(kind)}, not {_shown(node)}")


def _read_scalar(node: yaml.Node, kind: inspect.Type, key: Key) -> Any:
    tags, parse, holds = _SCALARS[type(kind)]
    if isinstance(node, yaml.ScalarNode) and node.tag.rpartition(":")[2] in tags:
        try:
            value = parse(node.value)
        except ValueError:  # 0x10, 1:30, .inf and yes are numbers and truths to YAML only
            value = None
        if value is not None and holds(kind, value):
            return value
    raise refuse(node, key, f"expected {allowed(kind)}, not {_shown(node)}")


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _in_range(kind: Any, value: float) -> bool:
    return (
        (kind.gt is None or value > kind.gt)
        and (kind.ge is None or value >= kind.ge)
        and (kind.lt is None or value < kind.lt)
        and (kind.le is None or value <= kind.le)
    )


def _in_length(kind: Any, value: str) -> bool:
    return (kind.min_length or 0) <= len(value) <= (kind.max_length or len(value))


# Which YAML tags a type is written with, how its text is parsed, and what must hold of the value.
_SCALARS: dict[type[inspect.Type], tuple[tuple[str, ...], Callable[[str], Any], Callable[[Any, Any], bool]]] = {
    inspect.BoolType: (("bool",), _truth, lambda kind, value: True),
    inspect.IntType: (("int",), int, _in_range),
    inspect.FloatType: (("int", "float"), float, _in_range),
    inspect.StrType: (("str",), str, _in_length),
}


def allowed(kind: inspect.Type) -> str:
    """What a type allows, in words."""
    match kind:
        case inspect.BoolType():
            return "true or false"
        case inspect.EnumType():
            return "one of " + _words([str(member.value) for member in kind.cls])
        case inspect.IntType():
            return "a whole number" + _range(kind)
        case inspect.FloatType():
            return "a number" + _range(kind)
        case inspect.VarTupleType():
            return f"a list of {allowed(kind.item_type)}"
        case inspect.StrType():
            return "text" + (f" of 1 to {kind.max_length} characters (numbers in quotes)" if kind.max_length else "")
        case _:
            raise TypeError(f"no playbook field is of type {kind}")


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    bounds = (("above", kind.gt), ("of at least", kind.ge), ("below", kind.lt), ("at most", kind.le))
    given = [f"{word} {bound:.10g}" for word, bound in bounds if bound is not None]
    return f" {' and '.join(given)}" if given else ""


def _words(names: Sequence[str]) -> str:
    return ", ".join(names)


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag.rpartition(":")[2] == "null")


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return "nothing" if _is_null(node) else repr(node.value if len(node.value) <= 40 else node.value[:40] + "…")
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
