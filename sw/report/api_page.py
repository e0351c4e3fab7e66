"""docs/api.md: every public name of the package, from the docstrings beside the code."""

import ast
import importlib
import inspect
import re
from enum import Enum
from pathlib import PurePath
from types import ModuleType
from typing import Any

from ..host import driver

PACKAGE = "heddle"
METHODS = {("Device", "matmul"): driver.matmul}
"""Methods that another function does: its parameters but the first are theirs."""
EMPTY = inspect.Parameter.empty


def api() -> str:
    """The page."""
    package = importlib.import_module(PACKAGE)
    public = {name: getattr(package, name) for name in package.__all__}
    sections = {"Functions": [], "Classes": [], "Errors and warnings": [], "Constants": []}
    for name, value in public.items():
        if not inspect.isclass(value):
            constant = not inspect.isfunction(value)
            sections["Constants" if constant else "Functions"].append(name)
        elif issubclass(value, Exception):
            sections["Errors and warnings"].append(name)
        else:
            sections["Classes"].append(name)
    lines = ["# Python interface\n", _text(package), ""]
    for title, names in sections.items():
        lines.append(f"## {title}\n")
        for name in sorted(names, key=str.lower):
            lines += _entry(package, name, public[name])
    return "\n".join(lines)


def _entry(package: ModuleType, name: str, value: Any) -> list[str]:
    if inspect.isfunction(value):
        return [f"### `{name}{_signature(value)}`\n", _text(value), ""]
    if not inspect.isclass(value):
        return [f"### `{name}`\n", _constant(package, name, value), ""]
    lines = [f"### `{name}`\n"]
    if issubclass(value, Exception):
        lines = [f"### `{name}({', '.join(base.__name__ for base in value.__bases__)})`\n"]
    lines += [_text(value), ""]
    members = [line for member in _members(value) for line in _member(name, value, member)]
    return [*lines, *members, ""] if members else lines


def _members(kind: type) -> list[str]:
    """Public names of a class in the order of its source."""
    own = list(vars(kind))
    if dataclass := getattr(kind, "__dataclass_fields__", None):
        own = [*dataclass, *(name for name in own if name not in dataclass)]
    return [name for name in own if not name.startswith("_")]


def _member(owner: str, kind: type, name: str) -> list[str]:
    member = inspect.getattr_static(kind, name, None)
    if isinstance(member, property):
        return [f"- `.{name}`{_after(_text(member))}"]
    if callable(inspect.unwrap(getattr(member, "__func__", member or 0))) and not isinstance(
        member, Enum
    ):
        function = METHODS.get((owner, name), getattr(member, "__func__", member))
        return [f"- `.{name}{_signature(function, 1)}`{_after(_text(function))}"]
    return [f"- `{name}`{_after(_notes(inspect.getsource(kind)).get(name, ''))}"]


def _after(text: str) -> str:
    return ": " + text.replace("\n", "\n  ").replace("\n  \n", "\n\n") if text else ""


def _signature(function: Any, skip: int = 0) -> str:
    """The parameters and what they are unless given, without types."""
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    texts, keyword_only = [], False
    for p in parameters:
        if p.kind is p.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            texts.append("*")
        star = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        texts.append(star + p.name + ("" if p.default is EMPTY else f"={_default(p.default)}"))
    return f"({', '.join(texts)})"


def _default(value: Any) -> str:
    if isinstance(value, PurePath):
        return repr(value.name)
    return value.name if isinstance(value, Enum) else repr(value)


def _constant(package: ModuleType, name: str, value: Any) -> str:
    """What stands below it in the module that sets it; a format's or table's own words."""
    for node in ast.parse(inspect.getsource(package)).body:
        if isinstance(node, ast.ImportFrom) and name in (alias.name for alias in node.names):
            module = importlib.import_module("." * node.level + str(node.module), PACKAGE)
            if note := _notes(inspect.getsource(module)).get(name):
                return note
    return f"`{value!r}`"


def _notes(source: str) -> dict[str, str]:
    """The strings that stand below the names which a module or class sets."""
    body = ast.parse(source).body
    if len(body) == 1 and isinstance(body[0], ast.ClassDef):
        body = body[0].body
    notes = {}
    for node, below in zip(body, body[1:], strict=False):
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        name = targets[0].id if targets and isinstance(targets[0], ast.Name) else None
        if name and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            notes[name] = inspect.cleandoc(str(below.value.value))
    return notes


def _text(documented: Any) -> str:
    """A docstring as Markdown: code in single backticks, examples in blocks."""
    text = inspect.getdoc(documented) or ""
    text = re.sub(r"``(.+?)``", r"`\1`", text, flags=re.S)
    head, start, code = text.partition("\nimport ")
    return f"{head}\n```python\nimport {code}\n```" if start else text
