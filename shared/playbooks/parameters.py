"""What a rule's parameters are, for people: from their declarations."""

from __future__ import annotations

from typing import Any

import msgspec
import yaml
from msgspec import inspect

from shared.domain.rules.declaration import Params
from shared.playbooks.nodes import allowed


class Parameter(msgspec.Struct, frozen=True):
    """A parameter: its default as YAML has it, what is allowed, and what it is about."""

    name: str
    default: str
    allowed: str
    about: str


def parameters(of: type[Params]) -> list[Parameter]:
    """The parameters of a rule, in the order of their declaration."""
    info = inspect.type_info(of)
    assert isinstance(info, inspect.StructType)
    return [_parameter(field) for field in info.fields]


def _parameter(field: inspect.Field) -> Parameter:
    kind, about = field.type, ""
    if isinstance(kind, inspect.Metadata):
        about = (kind.extra_json_schema or {}).get("description", "")
        kind = kind.type
    return Parameter(field.name, in_yaml(field.default), allowed(kind), about)


def in_yaml(value: object) -> str:
    """A value in one line of YAML; whole numbers are written without a point, whatever they were read as."""
    plain = _whole(msgspec.to_builtins(value))
    listed = yaml.safe_dump([plain], default_flow_style=True, width=100_000, allow_unicode=True)
    return listed.strip()[1:-1]


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _whole(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
