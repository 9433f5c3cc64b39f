"""Training conversations that take two to seven calls: the questions of `multi_tool`, about synthetic projects.

A task is drawn from a project's syntax trees; `chain` asks it one call after the other, as the tools really answer.
Between the calls stands what a small model needs to say to keep its place: the next name, a sum digit by digit, the
longest so far, methods counted as they are named. `code_mode` asks the same tasks in one run of code.

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
from punie_trace.suite.fresh.project_facts import ProjectFacts
from punie_trace.suite.fresh.tasks import TIMES, WORDS, Task, listed, words
from punie_trace.suite.load import sample_workspace
from recipes.chat import Call, Conversation, Turn

R = random.Random
LIKE_THE_SUITE: Final = 0.4  # this share is put in the suite's own words
PHRASINGS: Final[dict[str, tuple[str, ...]]] = {
    "serializer": (
        "Which serializer does {x} use, and where is it defined?",
        "Name the serializer of {x} and the file that it is in.",
        "{x} uses a serializer. Which one, and in which file?",
    ),
    "model": (
        "What model does the serializer of {x} serve, and in which file is that model?",
        "Find the model behind the serializer of {x}, and the file that defines it.",
        "{x} has a serializer. Which model is it for, and where is the model defined?",
    ),
    "related": (
        "Start at the model that the serializer of {x} is for and follow the first field that refers to "
        "another model, {t}. Which model is that, and in which file?",
        "Take the model behind the serializer of {x}, and follow its first relation {t}. Name the model "
        "and its file.",
    ),
    "settings": (
        "Which settings does {x} use, and what are their values?",
        "List the settings that {x} reads, each as NAME = value.",
        "What are the values of the settings in {x}?",
    ),
    "lines": (
        "Add up the lines of {x}. End with 'total: ' and the sum.",
        "How many lines are there in {x} in all?",
        "Count the lines of {x} and give the total.",
    ),
    "longest": (
        "Which is the longest of {x}? End with 'longest: ' and the path.",
        "Find the file with the most lines among {x}.",
        "Of {x}, which file is the longest?",
    ),
    "docstrings": (
        "What do the docstrings of {x} say?",
        "Show me the docstrings of {x}.",
        "Give the docstring of each of {x}.",
    ),
    "methods": (
        "Count the methods of the classes {x}. End with 'total: ' and the sum.",
        "How many methods do {x} have in all?",
        "Add up the methods of the classes {x}.",
    ),
}  # fmt: skip
"""Other words for each kind than the suite's own (`WORDS`)."""
COUNTS: Final = (2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6)
"""Of files or names in a task: few more often, since a conversation about six is long."""


class Names:
    """The names and paths that the sample code base has, which no task may be about."""

    def __init__(self) -> None:
        code = ProjectFacts.of_folder(sample_workspace())
        self._taken = {*code.definitions, *code.lines}

    def free(self, task: Task) -> bool:
        """Whether a task is about nothing that the sample code base has."""
        return not self._taken.intersection((*task.about, *(argument for _, argument in task.calls)))


def question(rng: R, task: Task) -> str:
    """The task in words."""
    others = PHRASINGS[task.kind]
    return words(task, WORDS[task.kind] if rng.random() < LIKE_THE_SUITE else rng.choice((WORDS[task.kind], *others)))


def chain(asked: str, task: Task, tools: Toolbox) -> Conversation | None:
    """The task by one call after the other; None where a result was cut before what it is asked for."""
    functions = tools.functions()
    argument_of = {"read_file": "path", "find_definition": "name", "search_code": "pattern"}
    results = [functions[tool](argument) for tool, argument in task.calls]
    work = worked_out(task, results)
    if work is None:
        return None
    turns = [
        Turn(result, Call(tool, {argument_of[tool]: argument}), said)
        for (tool, argument), result, said in zip(task.calls, results, work.said, strict=True)
    ]
    return Conversation(asked, (*turns, Turn(work.answer)), f"chain {task.kind}")


@dataclass(frozen=True, slots=True)
class Work:
    """How a chain of calls goes: what is said before each call, the answer, and what alone would answer."""

    said: tuple[str, ...]
    answer: str
    result: str


def worked_out(task: Task, results: Sequence[str]) -> Work | None:
    """The task from what the calls returned and nothing else; None where it is not in there.

    Before a call the model says what it read and how far it is: a file's first line, a sum so far, the name just
    looked at and the next one as the question has them, how often a relation was followed. Each is copied from near by
    or worked out from the result just read, which a small model can do; to find the next name without it would take
    two steps of looking up at once.
    """
    count = len(task.calls)
    if task.kind in ("serializer", "model", "related"):
        place = re.match(r"(\S+):\d+-\d+\n", results[-1])
        followed = tuple(f"{TIMES[n + 1]} of {TIMES[task.relations]}" for n in range(task.relations))
        answer = f"{task.calls[-1][1]}, defined in {place[1]}." if place else ""
        return Work((*[""] * (count - len(followed)), *followed), answer, answer.removesuffix(".")) if place else None
    if task.kind == "settings":
        found = [re.search(r"^\d+: (\w+ = .*)$", text, re.MULTILINE) for text in results[1:]]
        names = [argument.removesuffix(" =") for _, argument in task.calls[1:]]
        said = ("", f"{listed(names)}.", *_cursors(names)[1:-1])
        result = "\n".join(one[1] for one in found if one)
        return Work(said, f"{_cursors(names)[-1]}\n{result}", result) if all(found) else None
    if task.kind == "docstrings":
        quoted = [re.search(r'"""(.*?)(?:"""|$)', text, re.MULTILINE) for text in results]
        result = "\n".join(f"{name}: {one[1]}" for name, one in zip(task.about, quoted, strict=True) if one)
        return _listed_work(task.about, result.split("\n"), result) if all(quoted) else None
    if task.kind == "methods":
        return _counted_methods(task.about, results)
    lines = [re.search(r", (\d+) lines?$", text.partition("\n")[0]) for text in results]
    if not all(lines):
        return None
    numbers = [int(one[1]) for one in lines if one]
    heads = [text.partition("\n")[0] for text in results]
    best = task.about[numbers.index(max(numbers))]
    said, result = (
        (added(numbers), f"total: {sum(numbers)}")
        if task.kind == "lines"
        else (compared(task.about, numbers), f"longest: {best}")
    )
    return _listed_work(task.about, ["\n".join(pair) for pair in zip(heads, said, strict=True)], result)


def _cursors(names: Sequence[str]) -> list[str]:
    """What is said of the place in a list: nothing, 'After a, b', 'After b and c', and at the end 'c is the last.'."""
    marks = [", "] * (len(names) - 2) + [" and "]
    pairs = [f"After {a}{mark}{b}" for a, mark, b in zip(names[:-1], marks, names[1:], strict=False)]
    return ["", *pairs, f"{names[-1]} is the last."]


def _listed_work(names: Sequence[str], readings: Sequence[str], result: str) -> Work:
    """The work on names of a list; `readings` are what is said of each one's result."""
    *said, last = (
        "\n".join(part for part in (reading, cursor) if part)
        for reading, cursor in zip(("", *readings), _cursors(names), strict=True)
    )
    return Work(tuple(said), f"{last}\n{result}", result)


def _counted_methods(names: Sequence[str], results: Sequence[str]) -> Work | None:
    number, readings = 0, []
    for text in results:
        if re.search(r"^\(\d+ more lines?\)$", text, re.MULTILINE):
            return None
        methods = re.findall(r"^    (?:async )?def (\w+)", text, re.MULTILINE)
        readings.append(", ".join(f"{method} {number + n}" for n, method in enumerate(methods, start=1)))
        number += len(methods)
    return _listed_work(names, readings, f"total: {number}")


def added(numbers: Sequence[int]) -> list[str]:
    """The sum, a number at a time and in each a digit at a time from the right, with what is carried.

    Numbers have three digits, so that the same place means the same thing everywhere.
    """
    total, said = numbers[0], [f"{numbers[0]:03} so far."]
    for number in numbers[1:]:
        steps, carried = [], None
        for a, b in zip(f"{number:03}"[::-1], f"{total:03}"[::-1], strict=True):
            result = int(a) + int(b) + (carried or 0)
            steps.append(f"{a}+{b}{'' if carried is None else f'+{carried}'}={result:02}")
            carried = result // 10
        total += number
        said.append(f"{number:03} more: {' '.join(steps)}, {total:03} so far.")
    return said


def compared(names: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """The highest number so far and whose it is, after each one."""
    best, said = 0, [f"{numbers[0]:03}, most {numbers[0]:03}: {names[0]}"]
    for place, number in enumerate(numbers[1:], start=1):
        best = place if number > numbers[best] else best
        said.append(f"{number:03}, most {numbers[best]:03}: {names[best]}")
    return said


def sums(rng: R) -> Conversation:
    """Practice for the answers about lines: numbers to add or to compare, given in the question."""
    names = [*dict.fromkeys(noun(rng) for _ in range(rng.randint(2, 7)))]
    numbers = [rng.choice((rng.randint(1, 60), rng.randint(1, 160))) for _ in names]
    given = listed([f"{name} {number}" for name, number in zip(names, numbers, strict=True)])
    if rng.random() < 0.65:
        return Conversation(f"Add up {given}.", (Turn("\n".join((*added(numbers), f"total: {sum(numbers)}"))),), "sum")
    best = names[numbers.index(max(numbers))]
    text = "\n".join((*compared(names, numbers), f"longest: {best}"))
    return Conversation(f"Which is the longest, {given}?", (Turn(text),), "most")
