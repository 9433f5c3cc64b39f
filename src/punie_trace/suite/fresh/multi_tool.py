"""A suite of questions that take two to six calls, never seen before: the same for the same seed and number.

The kinds and words are those of the shipped suite `multi-tool`; the projects, and so all names, are made by the seed.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final

from punie_trace.errors import SuiteError
from punie_trace.records import Query
from punie_trace.suite.fresh.django_project import make_project
from punie_trace.suite.fresh.names import made_up_word
from punie_trace.suite.fresh.project_facts import ProjectFacts
from punie_trace.suite.fresh.questions import MOST_QUESTIONS, FreshSuite, digest_of
from punie_trace.suite.fresh.tasks import WORDS, Task, draw_task, right, words

_TASKS_PER_PROJECT: Final = 24
NUMBERS: Final = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
"""The numbers of calls that questions take, and their words."""


def make_fresh_multi_tool(count: int, seed: int) -> FreshSuite:
    """`count` questions by `seed`. Raises `SuiteError` for a count outside of 1 to `MOST_QUESTIONS`."""
    if not 1 <= count <= MOST_QUESTIONS:
        raise SuiteError(
            f"a fresh suite has 1 to {MOST_QUESTIONS} questions, not {count}; write fresh-multi-tool:40 for forty"
        )
    rng = random.Random(f"fresh multi-tool {seed} {count}")
    files: dict[str, str] = {}
    tasks: dict[str, Task] = {}
    project: ProjectFacts | None = None
    while True:
        root = f"{made_up_word(rng)}/" if files else ""
        files |= {f"{root}{path}": text for path, text in make_project(rng).items()}
        project = ProjectFacts(files, project)  # of all so far: what has the same name twice is not asked about
        tasks = {text: task for text, task in tasks.items() if _stands(task, project)}
        for number in range(_TASKS_PER_PROJECT):
            if (task := draw_task(rng, project, tuple(WORDS)[number % len(WORDS)])) is not None:
                tasks.setdefault(words(task), task)
            if len(tasks) == count:
                queries = [_query(text, task, project) for text, task in tasks.items()]
                rng.shuffle(queries)
                named = tuple(replace(one, name=f"{one.name}-{place}") for place, one in enumerate(queries, start=1))
                return FreshSuite(named, files, digest_of(named, files))


def _stands(task: Task, project: ProjectFacts) -> bool:
    """Whether all that a task looks at is still the only one of its name."""
    known = {*project.definitions, *project.lines, *(f"{name} =" for name in project.settings)}
    return all(argument in known for _, argument in task.calls)


def _query(text: str, task: Task, project: ProjectFacts) -> Query:
    return Query(
        name=task.kind,
        text=text,
        expected="tool",
        answer_contains=right(task, project),
        category=f"{NUMBERS[len(task.calls)]} calls",
    )
