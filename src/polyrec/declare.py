"""TOML and mappings into frozen, checked declarations, with every error of a file told at once."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from polyrec.errors import ConfigError, PolyrecError, together, unknown

STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=False)
T = TypeVar("T")


class RefusedError(ConfigError):
    """What a declaration finds wrong with itself, one or more things."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(problems[0] if len(problems) == 1 else together(problems, f"{len(problems)} problems"))
        self.problems = tuple(problems)


def read_toml(path: Path, error: type[PolyrecError] = ConfigError) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        error: the file is missing, is not UTF-8 or is not TOML; the message has the line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as reason:
        raise error(f"{path} does not exist. Check the path.") from reason
    except IsADirectoryError as reason:
        raise error(f"{path} is a folder; name a .toml file in it.") from reason
    except UnicodeDecodeError as reason:
        raise error(f"{path} is not UTF-8 (byte {reason.start}). Save it as UTF-8.") from reason
    except tomllib.TOMLDecodeError as reason:
        raise error(f"{path} is not TOML: {reason}.") from reason


def parse(cls: type[T], values: Mapping[str, Any], where: str, error: type[PolyrecError] = ConfigError) -> T:
    """A `cls` (frozen dataclass) from plain values; all problems in one message.

    Args:
        cls: a dataclass; its annotations are the contract.
        values: as read from TOML or JSON.
        where: how the message calls the source, for example `run.toml [model]`.
        error: the kind to raise.

    Raises:
        error: an unknown key (with the nearest known one), a missing key, a wrong type, a value out of bounds.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Options:
        ...     width: int = 8
        >>> parse(Options, {"width": 4}, "[model]")
        Options(width=4)
        >>> try:
        ...     parse(Options, {"widht": 4}, "[model]")
        ... except ConfigError as reason:
        ...     print(reason)
        [model]: option 'widht' is not known. Known: width. Did you mean 'width'?
    """
    problems = _unknown_keys(cls, values, "")
    kind: Any = cls
    try:
        made: T | None = _adapter(kind).validate_python(dict(values))
    except ValidationError as reason:
        problems += _each(reason, "")
        made = None
    except PolyrecError as reason:
        problems += _by_part(cls, values, "") or problems_of(reason)
        made = None
    if problems:
        raise error(together(problems, where if len(problems) == 1 else f"{where} has {len(problems)} problems"))
    assert made is not None
    return made


@lru_cache(maxsize=512)
def _adapter(kind: Any) -> Any:
    """Kept, since making one takes longer than reading a file by it."""
    return TypeAdapter(kind)


_EXTRA = {"extra_forbidden", "unexpected_keyword_argument"}


def _by_part(cls: Any, values: Mapping[str, Any], path: str) -> list[str]:
    """Problems of each field by itself: what a dataclass refuses as a whole would hide all others' problems."""
    hints = get_type_hints(cls, include_extras=True)  # with their bounds
    problems = []
    for field in fields(cls):
        name = field.name
        if name not in values or not field.init:
            if field.init and field.default is MISSING and field.default_factory is MISSING:
                problems.append(f"{path}{name} is missing. Add it.")
            continue
        value, inner = values[name], next(iter(_dataclasses_in(hints[name])), None)
        if inner is not None and isinstance(value, Mapping):
            problems += _of_part(inner, value, f"{path}{name}.")
            continue
        items = enumerate(value) if inner is not None and isinstance(value, (list, tuple)) else ()
        each = [one for place, item in items for one in _of_part(inner, item, f"{path}{name}.{place}.")]
        problems += each or _of_part(hints[name], value, f"{path}{name}")
    return problems


def _of_part(hint: Any, value: Any, path: str) -> list[str]:
    if is_dataclass(hint) and isinstance(value, Mapping):
        declared = {field.name for field in fields(hint)}
        value = {key: one for key, one in value.items() if key in declared}  # others are told already
    try:
        TypeAdapter(hint).validate_python(value)
    except ValidationError as reason:
        return _each(reason, path)
    except PolyrecError as reason:
        return (_by_part(hint, value, path) if is_dataclass(hint) else []) or problems_of(reason)
    return []


def problems_of(reason: PolyrecError) -> list[str]:
    """What is wrong, one by one."""
    return list(reason.problems) if isinstance(reason, RefusedError) else [str(reason)]


def _each(reason: ValidationError, path: str) -> list[str]:
    items = [item for item in reason.errors() if item["type"] not in _EXTRA]
    return [_worded(item, path) for item in items if not (item["type"] == "too_short" and _inside(item, items))]


def _inside(outer: Any, items: Sequence[Any]) -> bool:
    """Whether an item of the list is wrong itself: then the list was short only for want of it."""
    loc = outer["loc"]
    return any(len(item["loc"]) > len(loc) and item["loc"][: len(loc)] == loc for item in items)


def _worded(item: Any, path: str = "") -> str:
    place = (path + ".".join(str(part) for part in item["loc"])).rstrip(".") or "value"
    if item["type"] in ("missing", "missing_argument"):
        return f"{place} is missing. Add it."
    if item["type"] == "too_short" and not item["ctx"]["actual_length"]:
        return f"{place} = {item['input']!r}: it is empty. Give at least {item['ctx']['min_length']}."
    message = item["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return f"{place} = {item['input']!r}: {message}."


def _unknown_keys(cls: Any, values: Any, path: str) -> list[str]:
    """Keys that no field of `cls`, or of the dataclasses nested in it, declares."""
    if not (isinstance(cls, type) and is_dataclass(cls) and isinstance(values, Mapping)):
        return []
    hints = get_type_hints(cls)
    known = [field.name for field in fields(cls) if field.init]
    problems = []
    for key, value in values.items():
        if key not in known:
            problems.append(unknown("option", path + str(key), known))
            continue
        for inner in _dataclasses_in(hints[key]):
            nested = value if isinstance(value, (list, tuple)) else [value]
            for place, one in enumerate(nested):
                index = f"[{place}]" if isinstance(value, (list, tuple)) else ""
                problems += _unknown_keys(inner, one, f"{path}{key}{index}.")
    return problems


def _dataclasses_in(hint: Any) -> list[Any]:
    if isinstance(hint, type) and is_dataclass(hint):
        return [hint]
    return [found for part in get_args(hint) for found in _dataclasses_in(part)]


def to_toml(values: Mapping[str, Any], prefix: str = "") -> str:
    """Plain values as TOML text: scalars and lists first, then tables and arrays of tables.

    Example:
        >>> print(to_toml({"recipe": "mmoe", "data": {"log": ["a.parquet"]}, "tasks": [{"name": "buy"}]}))
        recipe = "mmoe"
        <BLANKLINE>
        [data]
        log = ["a.parquet"]
        <BLANKLINE>
        [[tasks]]
        name = "buy"
        <BLANKLINE>
    """
    lines, blocks = [], []
    for key, value in values.items():
        path = f"{prefix}{_key(key)}"
        if isinstance(value, Mapping):
            blocks.append(f"\n[{path}]\n" + to_toml(value, f"{path}."))
        elif isinstance(value, (list, tuple)) and value and all(isinstance(one, Mapping) for one in value):
            blocks += [f"\n[[{path}]]\n" + to_toml(one, f"{path}.") for one in value]
        else:
            lines.append(f"{_key(key)} = {_value(value)}\n")
    return "".join(lines + blocks)


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() else json.dumps(key, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
