"""Fresh questions of several calls: the same for a seed, as many as asked for, and right by what the tools return."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie_trace.errors import SuiteError
from punie_trace.records import Answer, ToolCall, Verdict
from punie_trace.suite.check import judge
from punie_trace.suite.fresh.multi_tool import NUMBERS, make_fresh_multi_tool
from punie_trace.suite.fresh.project_facts import ProjectFacts
from punie_trace.suite.fresh.tasks import TIMES, WORDS
from tests.suite.fresh.test_questions import write_files


@settings(max_examples=6, deadline=None)
@given(count=st.integers(1, 40), seed=st.integers(0, 10_000))
def test_there_are_as_many_questions_as_were_asked_for_each_with_a_name_of_its_own(count: int, seed: int) -> None:
    suite = make_fresh_multi_tool(count, seed)
    assert suite == make_fresh_multi_tool(count, seed)
    assert len(suite.queries) == count == len({query.name for query in suite.queries})
    assert len({query.text for query in suite.queries}) == count


def test_there_are_questions_of_each_number_of_calls_and_of_each_kind() -> None:
    queries = make_fresh_multi_tool(120, 1).queries
    assert {query.category for query in queries} == {f"{word} calls" for word in NUMBERS.values()}
    assert {query.name.rpartition("-")[0] for query in queries} == WORDS.keys()


@pytest.mark.parametrize("seed", range(3))
def test_the_tools_themselves_lead_to_what_is_right(tmp_path: Path, seed: int) -> None:
    suite = make_fresh_multi_tool(60, seed)
    tools = write_files(suite, tmp_path)
    project = ProjectFacts(suite.files)
    for query in suite.queries:
        kind = query.name.rpartition("-")[0]
        if kind in ("serializer", "model", "related"):
            told = _followed(tools.find_definition, query.text, kind)
        else:
            named = [name for name in (*project.lines, *project.definitions) if _is_named(name, query.text)]
            results = [tools.read_file(n) if n in project.lines else tools.find_definition(n) for n in named]
            told = "\n".join(results)
            if kind == "settings":
                told = "\n".join(tools.search_code(f"{name} =") for name in project.settings if name in told)
            elif kind in ("lines", "longest"):
                lines = {
                    name: int(text.partition(", ")[2].split(" ")[0]) for name, text in zip(named, results, strict=True)
                }
                told = f"total: {sum(lines.values())} longest: {max(lines, key=lambda name: lines[name])}"
            elif kind == "methods":
                told = f"total: {told.count('    def ')}"
        call = ToolCall("find_definition", {}, ok=True)
        assert judge(query, Answer(told, (call,))) is Verdict.CORRECT, (query, told)
        assert judge(query, Answer(told)) is Verdict.SHOULD_HAVE_CALLED


def _is_named(name: str, text: str) -> bool:
    return any(name == word.strip(",.?") for word in text.split())


def _followed(find: Callable[..., str], text: str, kind: str) -> str:
    view = next(word for word in text.replace(",", " ").split() if find(name=word).count("serializer_class = "))
    told = find(name=view)
    name = told.partition("serializer_class = ")[2].split()[0]
    told = find(name=name)
    if kind != "serializer":
        name = told.partition(" model = ")[2].split()[0]
        told = find(name=name)
    for _ in range(next(n for n in (3, 2, 1, 0) if TIMES[n] in text and (n == 0 or kind == "related"))):
        line = next(
            line
            for line in told.replace("(\n", "(").splitlines()
            if "Key(" in line or "ToOne" in line or "ToMany" in line
        )
        name = line.partition("Field(" if "Field(" in line else "Key(")[2].strip().split(",")[0].rstrip(")")
        told = find(name=name)
    return f"{name} {told}"


@pytest.mark.parametrize("count", [0, 1001])
def test_a_count_out_of_range_is_refused_with_an_example(count: int) -> None:
    with pytest.raises(SuiteError, match="fresh-multi-tool:40"):
        make_fresh_multi_tool(count, 0)
