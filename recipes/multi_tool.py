"""Makes the suite `multi-tool`: questions about the sample code base that take two to six calls of its tools.

What is right is computed from the code base's syntax trees, and so is which calls the plain way takes: each file or
definition that a question is about is looked at once. Nothing is typed but the words of the questions.

    python -m recipes.multi_tool        writes src/punie_trace/suite/data/multi-tool.yaml
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from punie_trace.suite.fresh.multi_tool import NUMBERS
from punie_trace.suite.fresh.project_facts import MOST_CHARS, ProjectFacts
from punie_trace.suite.fresh.tasks import TIMES, WORDS, listed
from punie_trace.suite.load import sample_workspace

FILE: Final = Path(__file__).parents[1] / "src" / "punie_trace" / "suite" / "data" / "multi-tool.yaml"
SEED: Final = 14
FEWEST_CALLS: Final = 2
MOST_CALLS: Final = 6
_HEAD: Final = "# Questions that take two to six calls, to compare calls with code; made by recipes/multi_tool.py.\n"


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


def questions(root: Path | None = None) -> tuple[Question, ...]:
    """All questions, by the number of their calls; the same ones each time."""
    code = ProjectFacts.of_folder(root or sample_workspace())
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
                "category": f"{NUMBERS[len(one.calls)]} calls",
                "expected": "tool",
                "answer_contains": list(one.facts),
            },
        }
        for one in asked
    ]
    return _HEAD + yaml.safe_dump({"name": FILE.stem, "cases": cases}, sort_keys=False, width=110)


def _combinations(code: ProjectFacts, count: int) -> Iterator[Question]:
    """Questions that look at `count` files or definitions and put what they find together."""
    draw = random.Random(SEED + count)
    word = NUMBERS[count]

    files = draw.sample(sorted(code.lines), count)
    yield Question(
        f"lines-of-{word}-files",
        WORDS["lines"].format(x=listed(files)),
        (f"total: {sum(code.lines[path] for path in files)}",),
        tuple(Call("read_file", path) for path in files),
    )

    files = _with_one_longest(code, draw, count)
    yield Question(
        f"longest-of-{word}-files",
        WORDS["longest"].format(x=listed(files)),
        (f"longest: {max(files, key=lambda path: code.lines[path])}",),
        tuple(Call("read_file", path) for path in files),
    )

    described = [d for d in code.definitions.values() if d.docstring and d.chars <= MOST_CHARS]
    chosen = draw.sample(described, count)
    yield Question(
        f"docstrings-of-{word}",
        WORDS["docstrings"].format(x=listed([d.name for d in chosen])),
        tuple(d.docstring for d in chosen),
        tuple(Call("find_definition", d.name) for d in chosen),
    )

    chosen = draw.sample([d for d in code.classes() if d.methods], count)
    yield Question(
        f"methods-of-{word}-classes",
        WORDS["methods"].format(x=listed([d.name for d in chosen])),
        (f"total: {sum(d.methods for d in chosen)}",),
        tuple(Call("find_definition", d.name) for d in chosen),
    )


def _with_one_longest(code: ProjectFacts, draw: random.Random, count: int) -> list[str]:
    while True:
        files = draw.sample(sorted(code.lines), count)
        longest = sorted(code.lines[path] for path in files)
        if longest[-1] > longest[-2]:
            return files


def _chains(code: ProjectFacts) -> Iterator[Question]:
    """Questions in which each call needs what the one before it returned: view, serializer, model, related models."""
    begun: set[str] = set()
    for view in code.classes():
        serializer = code.definitions.get(view.serializer() or "")
        if serializer is None or serializer.name in begun:
            continue
        begun.add(serializer.name)
        calls = [Call("find_definition", view.name), Call("find_definition", serializer.name)]
        yield Question(
            f"serializer-of-{view.name}",
            WORDS["serializer"].format(x=view.name),
            (serializer.name, serializer.path),
            tuple(calls),
        )
        model = code.definitions.get(serializer.serialized() or "")
        text = WORDS["model"].format(x=view.name)
        while model is not None and len(calls) < MOST_CALLS:
            calls.append(Call("find_definition", model.name))
            yield Question(
                f"{NUMBERS[len(calls)]}-steps-from-{view.name}", text, (model.name, model.path), tuple(calls)
            )
            related = code.definitions.get(model.related() or "")
            model = related if related is not None and Call("find_definition", related.name) not in calls else None
            relations = len(calls) - len((view, serializer))
            if relations < len(TIMES):
                text = WORDS["related"].format(x=view.name, t=TIMES[relations])


def _settings(code: ProjectFacts) -> Iterator[Question]:
    """Questions about the values of the settings that a definition names."""
    for definition in code.definitions.values():
        names = code.settings_of(definition)
        if names and definition.chars <= MOST_CHARS:
            yield Question(
                f"settings-of-{definition.name}",
                WORDS["settings"].format(x=definition.name),
                tuple(f"{name} = {code.settings[name]}" for name in names),
                (
                    Call("find_definition", definition.name),
                    *(Call("search_code", f"{name} =") for name in names),
                ),
            )


if __name__ == "__main__":
    FILE.write_text(suite_text(questions()), encoding="utf-8")
