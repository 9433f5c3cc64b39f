"""What a Python project's own text says of it: lines of files, definitions and what they refer to, settings.

Read from syntax trees, so that a tool that finds the wrong thing cannot agree with itself. Which questions are made of
it is `tasks`' concern.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

MOST_CHARS: Final = 520
"""Longer definitions are not asked about: the shipped model is shown 600 characters of a result."""
T = TypeVar("T")
_SETTINGS: Final = "config/settings.py"
_RELATIONS: Final = ("ForeignKey", "OneToOneField", "ManyToManyField")


@dataclass(frozen=True, slots=True)
class Definition:
    """A class or function at the top level of a file; its name is the only one of its kind in the project."""

    name: str
    path: str
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    chars: int
    docstring: str
    """Its first line, without the full stop; '' where there is none."""
    methods: int
    """How many methods stand in the body of a class."""
    settings: tuple[str, ...]
    """What it reads of an object called `settings`, in its order, each once."""

    def serializer(self) -> str | None:
        """The serializer of a view."""
        return name_of(_assigned(self.node, "serializer_class"))

    def serialized(self) -> str | None:
        """The model of a serializer: what its class `Meta` says."""
        for one in self.node.body:
            if isinstance(one, ast.ClassDef) and one.name == "Meta":
                return name_of(_assigned(one, "model"))
        return None

    def related(self) -> str | None:
        """The model that the first field of a model refers to by name."""
        for one in self.node.body:
            call = one.value if isinstance(one, ast.Assign) else None
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _RELATIONS:
                return name_of(call.args[0]) if call.args else None
        return None


@dataclass(frozen=True, slots=True)
class _File:
    lines: int
    definitions: tuple[Definition, ...]
    numbers: tuple[tuple[str, int], ...]
    """Settings with a whole number; empty for a file of another kind."""


class ProjectFacts:
    """Lines by path, definitions by name, and the whole numbers among the settings; `files` is path to text.

    A definition or setting whose name is there twice is left out.
    """

    def __init__(self, files: Mapping[str, str], before: ProjectFacts | None = None) -> None:
        """`before` are the facts of some of the files, which are not read again."""
        known = before._files if before else {}
        self._files = {
            path: known.get(path) or _read(path, text)
            for path, text in sorted(files.items())
            if path.endswith(".py") and path.rpartition("/")[2] != "__init__.py"
        }
        self.lines = {path: file.lines for path, file in self._files.items()}
        self.definitions = _only_ones((one.name, one) for file in self._files.values() for one in file.definitions)
        self.settings = _only_ones(pair for file in self._files.values() for pair in file.numbers)

    @classmethod
    def of_folder(cls, root: Path) -> ProjectFacts:
        """Those of the Python files below a folder."""
        return cls({path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*.py")})

    def classes(self) -> list[Definition]:
        """The classes that are short enough to be asked about."""
        return [d for d in self.definitions.values() if isinstance(d.node, ast.ClassDef) and d.chars <= MOST_CHARS]

    def settings_of(self, definition: Definition) -> list[str]:
        """The project's settings with a number that a definition names, in their order."""
        return [name for name in definition.settings if name in self.settings]


def name_of(node: ast.expr | None) -> str | None:
    """The name that an expression is, None where it is something else."""
    return node.id if isinstance(node, ast.Name) else None


def _read(path: str, text: str) -> _File:
    tree = ast.parse(text)
    definitions = tuple(
        _definition(path, node, len(ast.get_source_segment(text, node) or ""))
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    )
    holds_settings = path == _SETTINGS or path.endswith(f"/{_SETTINGS}")
    return _File(len(text.splitlines()), definitions, _numbers(tree) if holds_settings else ())


def _definition(path: str, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, chars: int) -> Definition:
    named = (one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute) and name_of(one.value) == "settings")
    return Definition(
        node.name,
        path,
        node,
        chars,
        docstring=(ast.get_docstring(node) or "").partition("\n")[0].rstrip("."),
        methods=sum(isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) for one in node.body),
        settings=tuple(dict.fromkeys(named)),
    )


def _only_ones(pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    found: dict[str, list[T]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _assigned(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> ast.expr | None:
    for one in node.body:
        if isinstance(one, ast.Assign) and any(name_of(target) == name for target in one.targets):
            return one.value
    return None


def _numbers(tree: ast.Module) -> tuple[tuple[str, int], ...]:
    return tuple(
        (target.id, one.value.value)
        for one in tree.body
        if isinstance(one, ast.Assign) and isinstance(one.value, ast.Constant) and type(one.value.value) is int
        for target in one.targets
        if isinstance(target, ast.Name)
    )
