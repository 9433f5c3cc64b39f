"""Tasks of two to six calls of the built-in tools, drawn from a project, their words, and what is then right.

Chains, in which each call needs what the one before it returned (view, serializer, model, related models; a function
and its settings), and combinations of what several files or definitions say. Nothing is asked of a model here.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from punie_trace.suite.fresh.project_facts import MOST_CHARS, Definition, ProjectFacts

TIMES: Final = ("", "once", "twice", "three times")
WORDS: Final[dict[str, str]] = {
    "serializer": "In which file is the serializer defined that {x} uses, and what is its name?",
    "model": "Which model is the serializer of {x} for, and in which file is it defined?",
    "related": "Begin with the model that the serializer of {x} is for, and go where the first field leads that refers "
    "to another model, {t}. To which model do you come, and in which file is it defined?",
    "settings": "Which numbers of the project's settings does {x} use? Write each as NAME = value.",
    "lines": "How many lines do {x} have together? End with 'total: ' and the number.",
    "longest": "Which of {x} has the most lines? End with 'longest: ' and its path.",
    "docstrings": "Quote the docstrings of {x}.",
    "methods": "How many methods do the classes {x} define together? End with 'total: ' and the number.",
}
"""The words of each kind: {x} is what it is about, {t} how often a relation is followed."""
COUNTS: Final = (2, 3, 4, 5, 6)
_RELATIONS: Final = (1, 1, 2, 2, 3)


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to find out: its kind, what it is about, the relations to follow, and the calls that lead there."""

    kind: str
    about: tuple[str, ...]
    relations: int
    calls: tuple[tuple[str, str], ...]
    """Tool and argument of each call, in order."""


def draw_task(
    rng: random.Random, project: ProjectFacts, kind: str | None = None, counts: Sequence[int] = COUNTS
) -> Task | None:
    """A task of a kind, by default of any; None where this project has none. `counts` are numbers of files or names."""
    kind = kind or rng.choice(tuple(WORDS))
    if kind in ("serializer", "model", "related"):
        return _chain(rng, project, kind)
    if kind == "settings":
        return _settings(rng, project)
    return _combination(rng, project, kind, rng.choice(counts))


def words(task: Task, template: str | None = None) -> str:
    """The task as a question, in the words of its kind or in others."""
    return (template or WORDS[task.kind]).format(x=listed(task.about), t=TIMES[task.relations])


def listed(names: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def right(task: Task, project: ProjectFacts) -> tuple[str, ...]:
    """The texts of which each stands in a right answer, from the project's own text."""
    about = task.about
    if task.kind == "lines":
        return (f"total: {sum(project.lines[path] for path in about)}",)
    if task.kind == "longest":
        return (f"longest: {max(about, key=lambda path: project.lines[path])}",)
    if task.kind == "methods":
        return (f"total: {sum(project.definitions[name].methods for name in about)}",)
    if task.kind == "docstrings":
        return tuple(project.definitions[name].docstring for name in about)
    if task.kind == "settings":
        names = [argument.removesuffix(" =") for _, argument in task.calls[1:]]
        return tuple(f"{name} = {project.settings[name]}" for name in names)
    last = project.definitions[task.calls[-1][1]]
    return last.name, last.path


def _combination(rng: random.Random, project: ProjectFacts, kind: str, count: int) -> Task | None:
    if kind in ("lines", "longest"):
        tool, found = "read_file", [path for path in project.lines if not path.startswith("config/")]
        if kind == "longest":
            rng.shuffle(found)
            found = list({project.lines[path]: path for path in found}.values())  # no two are of one length
    else:
        fitting = [one for one in project.definitions.values() if one.chars <= MOST_CHARS]
        fitting = [one for one in fitting if (one.docstring if kind == "docstrings" else one.methods)]
        tool, found = "find_definition", [one.name for one in fitting]
    if len(found) < count:
        return None
    about = tuple(rng.sample(found, count))
    return Task(kind, about, 0, tuple((tool, one) for one in about))


def _chain(rng: random.Random, project: ProjectFacts, kind: str) -> Task | None:
    views = [one for one in project.classes() if one.serializer()]
    if not views:
        return None
    way: list[Definition] = [rng.choice(views)]
    relations = rng.choice(_RELATIONS) if kind == "related" else 0
    steps = [Definition.serializer, Definition.serialized, *[Definition.related] * relations]
    for step in steps[: {"serializer": 1, "model": 2}.get(kind)]:
        following = project.definitions.get(step(way[-1]) or "")
        if following is None or following in way or following.chars > MOST_CHARS:
            return None
        way.append(following)
    return Task(kind, (way[0].name,), relations, tuple(("find_definition", one.name) for one in way))


def _settings(rng: random.Random, project: ProjectFacts) -> Task | None:
    users = [one for one in project.definitions.values() if project.settings_of(one) and one.chars <= MOST_CHARS]
    if not users:
        return None
    user = rng.choice(users)
    searches = tuple(("search_code", f"{name} =") for name in project.settings_of(user))
    return Task("settings", (user.name,), 0, (("find_definition", user.name), *searches))
