"""Conversations of several calls: what the tools return leads to what is right, and names of the suites stay out."""

from __future__ import annotations

import ast
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.suite.fresh.django_project import make_project
from punie_trace.suite.fresh.project_facts import ProjectFacts
from punie_trace.suite.fresh.tasks import WORDS, Task, draw_task, listed, words
from punie_trace.suite.load import sample_workspace
from recipes.chains import Names, added, chain, compared, question
from recipes.dataset import write_codebase
from recipes.multi_tool import questions

NUMBERS = st.lists(st.integers(0, 150), min_size=2, max_size=6)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    write_codebase(make_project(random.Random(7)), folder)
    return folder


def tasks(folder: Path, seed: int = 3) -> dict[str, Task]:
    rng, code = random.Random(seed), ProjectFacts.of_folder(folder)
    drawn = (draw_task(rng, code) for _ in range(400))
    return {task.kind: task for task in drawn if task is not None}


def test_a_project_parses_and_is_the_same_for_the_same_seed() -> None:
    files = make_project(random.Random(7))
    assert files == make_project(random.Random(7)) != make_project(random.Random(8))
    for text in files.values():
        ast.parse(text)


def test_there_is_a_task_of_each_kind_and_its_chain_makes_the_calls_and_says_what_is_right(project: Path) -> None:
    found, code = tasks(project), ProjectFacts.of_folder(project)
    assert found.keys() == WORDS.keys()
    for task in found.values():
        made = chain("?", task, Toolbox(Workspace(project), max_chars=600))
        assert made is not None
        assert len(made.turns) == len(task.calls) + 1
        answer = made.turns[-1].text
        lines = [code.lines.get(path, 0) for path in task.about]
        last = code.definitions.get(task.calls[-1][1])
        right = {
            "lines": f"total: {sum(lines)}",
            "longest": f"longest: {max(task.about, key=lambda path: code.lines.get(path, 0))}",
            "methods": f"total: {sum(code.definitions[n].methods for n in task.about if n in code.definitions)}",
            "docstrings": code.definitions[task.about[-1]].docstring if task.kind == "docstrings" else "",
            "settings": " = ".join((name := task.calls[-1][1].removesuffix(" ="), str(code.settings.get(name)))),
        }.get(task.kind, f"{last.name}, defined in {last.path}" if last else "?")
        assert right in answer, task


def test_before_a_call_stands_the_last_name_and_the_next_as_the_question_has_them(project: Path) -> None:
    for kind in ("lines", "longest", "docstrings", "methods"):
        task = tasks(project)[kind]
        made = chain(f"{listed(task.about)}?", task, Toolbox(Workspace(project), max_chars=600))
        assert made is not None
        assert made.turns[0].said == ""
        for turn, last, following in zip(made.turns[1:], task.about, task.about[1:], strict=False):
            place = turn.said.splitlines()[-1].removeprefix("After ")
            assert place in made.question
            assert place in (f"{last}, {following}", f"{last} and {following}")
        assert f"{task.about[-1]} is the last.\n" in made.turns[-1].text


def test_the_suites_own_words_are_among_the_phrasings() -> None:
    asked = {one.text for one in questions()}
    code = ProjectFacts.of_folder(sample_workspace())
    rng = random.Random(0)
    for _ in range(300):
        task = draw_task(rng, code)
        if task is not None and task.kind in ("serializer", "model"):
            assert words(task) in asked


def test_no_task_is_about_a_name_of_the_sample_code_base() -> None:
    names = Names()
    assert not any(names.free(task) for task in tasks(sample_workspace()).values())
    assert names.free(Task("lines", ("klu/ro.py", "vai.py"), 0, ()))
    assert not names.free(Task("lines", ("klu/ro.py", "loans/models.py"), 0, ()))


def test_a_question_names_all_that_it_is_about(project: Path) -> None:
    rng = random.Random(1)
    for task in tasks(project).values():
        for _ in range(8):
            assert all(name in question(rng, task) for name in task.about)


@given(NUMBERS)
def test_a_sum_is_right_in_each_of_its_steps(numbers: list[int]) -> None:
    text = "\n".join(added(numbers))
    assert text.endswith(f"{sum(numbers):03} so far.")
    for left, right in re.findall(r"([\d+]+)=(\d\d)", text):
        assert sum(map(int, left.split("+"))) == int(right)


@given(NUMBERS)
def test_the_longest_is_the_first_of_the_highest(numbers: list[int]) -> None:
    names = [f"f{n}.py" for n in range(len(numbers))]
    assert compared(names, numbers)[-1].endswith(f"most {max(numbers):03}: {names[numbers.index(max(numbers))]}")
