"""Training conversations that take two to seven calls: the questions of `multi_tool`, about synthetic projects.

A task is drawn from a project's syntax trees; `chain` asks it one call after the other, as the tools really answer, and
ends with an answer that is worked out in steps that a small model can take: a sum digit by digit, the longest so far,
methods counted as they are named. `code_mode` asks the same tasks in one run of code.

The words of the questions may be those of the shipped suite, and often are. The names may not: no task is about a
class, function or file that the sample code base has (`Names`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from punie_trace.agent.toolbox import Toolbox
from punie_trace.suite.fresh.names import noun
from punie_trace.suite.load import sample_workspace
from recipes.chat import Call, Conversation, Turn
from recipes.multi_tool import MOST_CHARS, CodeBase, Definition

R = random.Random
TIMES: Final = ("", "once", "twice", "three times")
LIKE_THE_SUITE: Final = 0.4  # this share is put in the suite's own words: the first phrasing of its kind
PHRASINGS: Final[dict[str, tuple[str, ...]]] = {
    "serializer": (
        "In which file is the serializer defined that {x} uses, and what is its name?",
        "Which serializer does {x} use, and where is it defined?",
        "Name the serializer of {x} and the file that it is in.",
        "{x} uses a serializer. Which one, and in which file?",
    ),
    "model": (
        "Which model is the serializer of {x} for, and in which file is it defined?",
        "What model does the serializer of {x} serve, and in which file is that model?",
        "Find the model behind the serializer of {x}, and the file that defines it.",
        "{x} has a serializer. Which model is it for, and where is the model defined?",
    ),
    "related": (
        "Begin with the model that the serializer of {x} is for, and go where the first field leads that refers to "
        "another model, {t}. To which model do you come, and in which file is it defined?",
        "Start at the model that the serializer of {x} is for and follow the first field that refers to another model, "
        "{t}. Which model is that, and in which file?",
        "Take the model behind the serializer of {x}, and follow its first relation {t}. Name the model and its file.",
    ),
    "settings": (
        "Which numbers of the project's settings does {x} use? Write each as NAME = value.",
        "Which settings does {x} use, and what are their values?",
        "List the settings that {x} reads, each as NAME = value.",
        "What are the values of the settings in {x}?",
    ),
    "lines": (
        "How many lines do {x} have together? End with 'total: ' and the number.",
        "Add up the lines of {x}. End with 'total: ' and the sum.",
        "How many lines are there in {x} in all?",
        "Count the lines of {x} and give the total.",
    ),
    "longest": (
        "Which of {x} has the most lines? End with 'longest: ' and its path.",
        "Which is the longest of {x}? End with 'longest: ' and the path.",
        "Find the file with the most lines among {x}.",
        "Of {x}, which file is the longest?",
    ),
    "docstrings": (
        "Quote the docstrings of {x}.",
        "What do the docstrings of {x} say?",
        "Show me the docstrings of {x}.",
        "Give the docstring of each of {x}.",
    ),
    "methods": (
        "How many methods do the classes {x} define together? End with 'total: ' and the number.",
        "Count the methods of the classes {x}. End with 'total: ' and the sum.",
        "How many methods do {x} have in all?",
        "Add up the methods of the classes {x}.",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to find out: its kind, what it is about, the relations to follow, and the calls that lead there."""

    kind: str
    about: tuple[str, ...]
    relations: int
    calls: tuple[tuple[str, str], ...]
    """Tool and argument of each call, in order."""


class Names:
    """The names and paths that the sample code base has, which no task may be about."""

    def __init__(self) -> None:
        code = CodeBase(sample_workspace())
        self._taken = {*code.definitions, *code.lines}

    def free(self, task: Task) -> bool:
        """Whether a task is about nothing that the sample code base has."""
        return not self._taken.intersection((*task.about, *(argument for _, argument in task.calls)))


def draw_task(rng: R, code: CodeBase) -> Task | None:
    """A task of a random kind; None where this project has none of that kind."""
    kind = rng.choice(tuple(PHRASINGS))
    if kind in ("serializer", "model", "related"):
        return _chain(rng, code, kind)
    if kind == "settings":
        return _settings(rng, code)
    count = rng.choice((2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6))
    if kind in ("lines", "longest"):
        found = sorted(path for path in code.lines if not path.startswith("config/"))
        if kind == "longest":
            rng.shuffle(found)
            found = list({code.lines[path]: path for path in found}.values())  # one of each length: no two are longest
        tool = "read_file"
    else:
        fitting = [one for one in code.definitions.values() if one.chars <= MOST_CHARS]
        fitting = [one for one in fitting if (one.docstring if kind == "docstrings" else one.methods)]
        found = [one.name for one in fitting]
        tool = "find_definition"
    if len(found) < count:
        return None
    about = tuple(rng.sample(found, count))
    return Task(kind, about, 0, tuple((tool, one) for one in about))


def _chain(rng: R, code: CodeBase, kind: str) -> Task | None:
    views = [one for one in code.classes() if one.assigned("serializer_class")]
    if not views:
        return None
    way: list[Definition] = [rng.choice(views)]
    relations = rng.choice((1, 1, 2, 2, 3)) if kind == "related" else 0
    steps = ["serializer", "model", *["related"] * relations][: {"serializer": 1, "model": 2}.get(kind)]
    for step in steps:
        named = way[-1].assigned("serializer_class") if step == "serializer" else None
        name = getattr(named, "id", None) if step == "serializer" else _next(way[-1], step)
        following = code.definitions.get(name or "")
        if following is None or following in way or following.chars > MOST_CHARS:
            return None
        way.append(following)
    return Task(kind, (way[0].name,), relations, tuple(("find_definition", one.name) for one in way))


def _next(definition: Definition, step: str) -> str | None:
    return definition.serialized() if step == "model" else definition.related()


def _settings(rng: R, code: CodeBase) -> Task | None:
    users = [one for one in code.definitions.values() if code.settings_of(one) and one.chars <= MOST_CHARS]
    if not users:
        return None
    user = rng.choice(users)
    searches = tuple(("search_code", f"{name} =") for name in code.settings_of(user))
    return Task("settings", (user.name,), 0, (("find_definition", user.name), *searches))


def question(rng: R, task: Task) -> str:
    """The task in words."""
    phrasings = PHRASINGS[task.kind]
    chosen = phrasings[0] if rng.random() < LIKE_THE_SUITE else rng.choice(phrasings)
    return chosen.format(x=listed(task.about), t=TIMES[task.relations])


def listed(names: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def chain(asked: str, task: Task, tools: Toolbox) -> Conversation | None:
    """The task by one call after the other; None where a result was cut before what it is asked for."""
    functions = tools.functions()
    argument_of = {"read_file": "path", "find_definition": "name", "search_code": "pattern"}
    turns = [
        Turn(functions[tool](argument), Call(tool, {argument_of[tool]: argument})) for tool, argument in task.calls
    ]
    answer = chain_answer(task, [turn.text for turn in turns])
    return None if answer is None else Conversation(asked, (*turns, Turn(answer)), f"chain {task.kind}")


def chain_answer(task: Task, results: Sequence[str]) -> str | None:
    """The answer, from what the calls returned and nothing else; None where it is not in there."""
    if task.kind in ("serializer", "model", "related"):
        place = re.match(r"(\S+):\d+-\d+\n", results[-1])
        return f"{task.calls[-1][1]}, defined in {place[1]}." if place else None
    if task.kind == "settings":
        found = [re.search(r"^\d+: (\w+ = .*)$", text, re.MULTILINE) for text in results[1:]]
        return "\n".join(one[1] for one in found if one) if all(found) else None
    if task.kind == "docstrings":
        found = [re.search(r'"""(.*?)(?:"""|$)', text, re.MULTILINE) for text in results]
        return (
            "\n".join(f"{n}: {one[1]}" for n, one in zip(task.about, found, strict=True) if one) if all(found) else None
        )
    if task.kind == "methods":
        return _counted_methods(task.about, results)
    lines = [re.search(r", (\d+) lines?$", text.partition("\n")[0]) for text in results]
    if not all(lines):
        return None
    numbers = [int(one[1]) for one in lines if one]
    return (added if task.kind == "lines" else longest)(task.about, numbers)


def _counted_methods(names: Sequence[str], results: Sequence[str]) -> str | None:
    number, said = 0, []
    for name, text in zip(names, results, strict=True):
        if re.search(r"^\(\d+ more lines?\)$", text, re.MULTILINE):
            return None
        methods = re.findall(r"^    (?:async )?def (\w+)", text, re.MULTILINE)
        said.append(f"{name}: " + ", ".join(f"{method} {number + n}" for n, method in enumerate(methods, start=1)))
        number += len(methods)
    return "\n".join((*said, f"total: {number}"))


def added(names: Sequence[str], numbers: Sequence[int]) -> str:
    """The sum, a number at a time and in each a digit at a time from the right, with what is carried.

    Numbers have three digits, so that the same place means the same thing everywhere.
    """
    total, said = numbers[0], [f"{names[0]}: {numbers[0]:03}"]
    for name, number in zip(names[1:], numbers[1:], strict=True):
        steps, carried = [], None
        for a, b in zip(f"{number:03}"[::-1], f"{total:03}"[::-1], strict=True):
            result = int(a) + int(b) + (carried or 0)
            steps.append(f"{a}+{b}{'' if carried is None else f'+{carried}'}={result:02}")
            carried = result // 10
        total += number
        said.append(f"{name}: {number:03}, {' '.join(steps)}, {total:03}")
    return "\n".join((*said, f"total: {total}"))


def longest(names: Sequence[str], numbers: Sequence[int]) -> str:
    """The path with the highest number, by the highest so far."""
    best, said = 0, []
    for place, (name, number) in enumerate(zip(names, numbers, strict=True)):
        if place == 0:
            said.append(f"{name}: {number:03}")
            continue
        best = place if number > numbers[best] else best
        said.append(f"{name}: {number:03}, most {numbers[best]:03} {names[best]}")
    return "\n".join((*said, f"longest: {names[best]}"))


def sums(rng: R) -> Conversation:
    """Practice for the answers about lines: numbers to add or to compare, given in the question."""
    names = [*dict.fromkeys(noun(rng) for _ in range(rng.randint(2, 7)))]
    numbers = [rng.choice((rng.randint(1, 60), rng.randint(1, 160))) for _ in names]
    given = listed([f"{name} {number}" for name, number in zip(names, numbers, strict=True)])
    if rng.random() < 0.65:
        return Conversation(f"Add up {given}.", (Turn(added(names, numbers)),), "sum")
    return Conversation(f"Which is the longest, {given}?", (Turn(longest(names, numbers)),), "most")
