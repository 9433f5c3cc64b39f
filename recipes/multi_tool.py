"""Makes the suite `multi-tool`: questions about the sample code base that take two to six calls of its tools.

What is right is computed from the code base's syntax trees, and so is which calls the plain way takes: each file or
definition that a question is about is looked at once. Nothing is typed but the words of the questions.

    python -m recipes.multi_tool        writes src/punie_trace/suite/data/multi-tool.yaml
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from punie_trace.suite.load import sample_workspace

FILE: Final = Path(__file__).parents[1] / "src" / "punie_trace" / "suite" / "data" / "multi-tool.yaml"
SEED: Final = 14
FEWEST_CALLS: Final = 2
MOST_CALLS: Final = 6
MOST_CHARS: Final = 520
"""Longer definitions are not asked about: the shipped model is shown 600 characters of a result."""
_HEAD: Final = "# Questions that take two to six calls, to compare calls with code; made by recipes/multi_tool.py.\n"
_WORDS: Final = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
_TIMES: Final = {1: "once", 2: "twice", 3: "three times", 4: "four times"}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a built-in tool with its only argument."""

    tool: str
    argument: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question, what a right answer says, and the calls that the plain way to it takes."""

    name: str
    text: str
    facts: tuple[str, ...]
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """A class or function at the top level of a file; its name is the only one of its kind in the code base."""

    name: str
    path: str
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    chars: int

    @property
    def docstring(self) -> str:
        """Its first line, without the full stop; '' where there is none."""
        return (ast.get_docstring(self.node) or "").partition("\n")[0].rstrip(".")

    @property
    def methods(self) -> int:
        """How many methods stand in the body of a class."""
        return sum(isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) for one in self.node.body)

    def assigned(self, name: str, of: ast.ClassDef | None = None) -> ast.expr | None:
        """What the body of the class, or of `of`, assigns to `name`."""
        for one in (of or self.node).body:
            if isinstance(one, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in one.targets):
                return one.value
        return None

    def serialized(self) -> str | None:
        """The model of a serializer: what its class `Meta` says."""
        for one in self.node.body:
            if isinstance(one, ast.ClassDef) and one.name == "Meta":
                return _name(self.assigned("model", one))
        return None

    def related(self) -> str | None:
        """The model that the first field of a model refers to by name."""
        for one in self.node.body:
            if isinstance(one, ast.Assign) and isinstance(one.value, ast.Call) and one.value.args:
                kind = one.value.func.attr if isinstance(one.value.func, ast.Attribute) else ""
                if kind in ("ForeignKey", "OneToOneField", "ManyToManyField"):
                    return _name(one.value.args[0])
        return None


class CodeBase:
    """What there is to ask about: files with their lines, definitions, settings."""

    def __init__(self, root: Path) -> None:
        paths = sorted(path for path in root.rglob("*.py") if path.name != "__init__.py")
        self.lines = {path.relative_to(root).as_posix(): len(path.read_text().splitlines()) for path in paths}
        found: dict[str, list[Definition]] = {}
        for path in paths:
            text = path.read_text()
            for node in ast.parse(text).body:
                if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    source = ast.get_source_segment(text, node) or ""
                    one = Definition(node.name, path.relative_to(root).as_posix(), node, len(source))
                    found.setdefault(node.name, []).append(one)
        self.definitions = {name: ones[0] for name, ones in found.items() if len(ones) == 1}
        tree = ast.parse((root / "config" / "settings.py").read_text())
        self.settings: dict[str, int] = {
            target.id: ast.literal_eval(one.value)
            for one in tree.body
            if isinstance(one, ast.Assign) and isinstance(one.value, ast.Constant) and type(one.value.value) is int
            for target in one.targets
            if isinstance(target, ast.Name)
        }

    def classes(self) -> list[Definition]:
        """The classes that are short enough to be asked about."""
        return [d for d in self.definitions.values() if isinstance(d.node, ast.ClassDef) and d.chars <= MOST_CHARS]

    def settings_of(self, definition: Definition) -> list[str]:
        """The project's settings with a number that a definition names, in their order."""
        named = [
            node.attr
            for node in ast.walk(definition.node)
            if isinstance(node, ast.Attribute) and _name(node.value) == "settings"
        ]
        return [name for name in dict.fromkeys(named) if name in self.settings]


def questions(root: Path | None = None) -> tuple[Question, ...]:
    """All questions, by the number of their calls; the same ones each time."""
    code = CodeBase(root or sample_workspace())
    found = [
        *_chains(code),
        *_settings(code),
        *(one for count in range(FEWEST_CALLS, MOST_CALLS + 1) for one in _combinations(code, count)),
    ]
    return tuple(sorted(found, key=lambda one: len(one.calls)))


def suite_text(asked: Sequence[Question]) -> str:
    """The suite's file."""
    cases = [
        {
            "name": one.name,
            "inputs": one.text,
            "metadata": {
                "category": f"{_WORDS[len(one.calls)]} calls",
                "expected": "tool",
                "answer_contains": list(one.facts),
            },
        }
        for one in asked
    ]
    return _HEAD + yaml.safe_dump({"name": FILE.stem, "cases": cases}, sort_keys=False, width=110)


def _combinations(code: CodeBase, count: int) -> Iterator[Question]:
    """Questions that look at `count` files or definitions and put what they find together."""
    draw = random.Random(SEED + count)
    word = _WORDS[count]

    files = draw.sample(sorted(code.lines), count)
    yield Question(
        f"lines-of-{word}-files",
        f"How many lines do {_and(files)} have together? End with 'total: ' and the number.",
        (f"total: {sum(code.lines[path] for path in files)}",),
        tuple(Call("read_file", path) for path in files),
    )

    files = _with_one_longest(code, draw, count)
    yield Question(
        f"longest-of-{word}-files",
        f"Which of {_and(files)} has the most lines? End with 'longest: ' and its path.",
        (f"longest: {max(files, key=lambda path: code.lines[path])}",),
        tuple(Call("read_file", path) for path in files),
    )

    described = [d for d in code.definitions.values() if d.docstring and d.chars <= MOST_CHARS]
    chosen = draw.sample(described, count)
    yield Question(
        f"docstrings-of-{word}",
        f"Quote the docstrings of {_and([d.name for d in chosen])}.",
        tuple(d.docstring for d in chosen),
        tuple(Call("find_definition", d.name) for d in chosen),
    )

    chosen = draw.sample([d for d in code.classes() if d.methods], count)
    yield Question(
        f"methods-of-{word}-classes",
        f"How many methods do the classes {_and([d.name for d in chosen])} define together? "
        "End with 'total: ' and the number.",
        (f"total: {sum(d.methods for d in chosen)}",),
        tuple(Call("find_definition", d.name) for d in chosen),
    )


def _with_one_longest(code: CodeBase, draw: random.Random, count: int) -> list[str]:
    while True:
        files = draw.sample(sorted(code.lines), count)
        longest = sorted(code.lines[path] for path in files)
        if longest[-1] > longest[-2]:
            return files


def _chains(code: CodeBase) -> Iterator[Question]:
    """Questions in which each call needs what the one before it returned: view, serializer, model, related models."""
    begun: set[str] = set()
    for view in code.classes():
        serializer = code.definitions.get(_name(view.assigned("serializer_class")) or "")
        if serializer is None or serializer.name in begun:
            continue
        begun.add(serializer.name)
        calls = [Call("find_definition", view.name), Call("find_definition", serializer.name)]
        yield Question(
            f"serializer-of-{view.name}",
            f"In which file is the serializer defined that {view.name} uses, and what is its name?",
            (serializer.name, serializer.path),
            tuple(calls),
        )
        model = code.definitions.get(serializer.serialized() or "")
        text = f"Which model is the serializer of {view.name} for, and in which file is it defined?"
        while model is not None and len(calls) < MOST_CALLS:
            calls.append(Call("find_definition", model.name))
            yield Question(f"{_WORDS[len(calls)]}-steps-from-{view.name}", text, (model.name, model.path), tuple(calls))
            related = code.definitions.get(model.related() or "")
            model = related if related is not None and Call("find_definition", related.name) not in calls else None
            relations = len(calls) - len((view, serializer))
            text = (
                f"Begin with the model that the serializer of {view.name} is for, and go where the first field leads "
                f"that refers to another model, {_TIMES[relations]}. To which model do you come, and in which file is "
                "it defined?"
            )


def _settings(code: CodeBase) -> Iterator[Question]:
    """Questions about the values of the settings that a definition names."""
    for definition in code.definitions.values():
        names = code.settings_of(definition)
        if names and definition.chars <= MOST_CHARS:
            yield Question(
                f"settings-of-{definition.name}",
                f"Which numbers of the project's settings does {definition.name} use? Write each as NAME = value.",
                tuple(f"{name} = {code.settings[name]}" for name in names),
                (
                    Call("find_definition", definition.name),
                    *(Call("search_code", f"{name} =") for name in names),
                ),
            )


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _name(node: ast.expr | None) -> str | None:
    return node.id if isinstance(node, ast.Name) else None


if __name__ == "__main__":
    FILE.write_text(suite_text(questions()), encoding="utf-8")
