"""Evaluators run in a process of their own over what a query came to, and what they find becomes a judgement."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from punie_trace.errors import SuiteError
from punie_trace.records import Answer, EndedQuery, Evaluation, Judgement, Query, ToolCall, Verdict
from punie_trace.spans import names
from punie_trace.spans.span import AttributeValue, Span
from punie_trace.suite.judging import EvaluatingJudge, Evaluators
from punie_trace.suite.load import Suite, load_suite

pytestmark = pytest.mark.anyio
TRACE = "ab" * 16
MINE = '''
    """Evaluators of someone's own."""
    import os, re, time
    from dataclasses import dataclass
    from pydantic_evals.evaluators import EvaluationReason, Evaluator, EvaluatorContext

    @dataclass
    class Politeness(Evaluator):
        least: int = 1

        def evaluate(self, ctx: EvaluatorContext) -> EvaluationReason:
            said = ctx.output.count("please")
            return EvaluationReason(said >= self.least, f"said please {said} times")

    @dataclass
    class Everything(Evaluator):
        async def evaluate(self, ctx: EvaluatorContext) -> dict:
            return {
                "inputs": ctx.inputs,
                "expected": ctx.expected_output,
                "metadata": str(ctx.metadata),
                "long enough": EvaluationReason(ctx.duration >= 1.5, "by the clock"),
                "requests": ctx.metrics["requests"],
                "tokens": ctx.metrics["output_tokens"],
                "tools": len(ctx.span_tree.find({"name_contains": "execute_tool"})),
            }

    @dataclass
    class Raises(Evaluator):
        def evaluate(self, ctx: EvaluatorContext) -> bool:
            raise KeyError("no such thing")

    @dataclass
    class Hangs(Evaluator):
        def evaluate(self, ctx: EvaluatorContext) -> bool:
            return re.fullmatch("(a+)+b", "a" * 64) is None  # it holds the interpreter's lock for ever

    @dataclass
    class Dies(Evaluator):
        def evaluate(self, ctx: EvaluatorContext) -> bool:
            os._exit(3)

    @dataclass
    class Odd(Evaluator):
        def evaluate(self, ctx: EvaluatorContext) -> object:
            return {"nan": float("nan"), "list": [1], "none": None, "huge": 10**5000}

    class NoDataclass(Evaluator):
        def evaluate(self, ctx: EvaluatorContext) -> bool:
            return True
'''
CASES = {
    "defaults": {
        "expected_output": "please sit",
        "evaluators": ["EqualsExpected", {"Contains": {"value": "SIT", "case_sensitive": False}}, {"Equals": "x"}],
    },
    "mine": {"evaluators": ["Politeness", {"name": "Politeness", "arguments": {"least": 2}}]},
    "everything": {"expected_output": "e", "metadata": {"tools": {"a": 1}}, "evaluators": ["Everything"]},
    "raises": {"evaluators": ["Raises", "Politeness"]},
    "hangs": {"evaluators": ["Hangs", "Politeness"]},
    "dies": {"evaluators": ["Dies", "Politeness"]},
    "odd": {"evaluators": ["Odd"]},
    "spans": {
        "evaluators": [
            {"ToolCorrectness": {"expected_tools": ["find_definition"]}},
            {"MaxModelRequests": 1},
            {"HasMatchingSpan": {"query": {"name_equals": "execute_tool find_definition"}}},
        ]
    },
    "facts": {"metadata": {"answer_contains": ["standing"]}, "evaluators": ["Politeness"]},
    "none": {},
}


def span(number: int, name: str, **attributes: AttributeValue) -> Span:
    return Span(TRACE, f"{number:016x}", "f" * 16, name, "INTERNAL", number * 10**9, (number + 1) * 10**9, attributes)


SPANS = (
    span(1, "POST", **{names.SEGMENT: names.SEGMENT_GENERATION, names.GEN_AI_OUTPUT_TOKENS: 7}),
    span(2, "execute_tool find_definition", **{names.GEN_AI_TOOL_NAME: "find_definition"}),
    span(3, "POST", **{names.SEGMENT: names.SEGMENT_GENERATION, names.GEN_AI_OUTPUT_TOKENS: 5}),
)


def write(folder: Path, cases: object, **others: object) -> Path:
    (folder / "mine.py").write_text(textwrap.dedent(MINE))
    file = folder / "dataset.json"
    file.write_text(json.dumps({"cases": cases, **others}))
    return file


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    folder = tmp_path_factory.mktemp("suite")
    return load_suite(str(write(folder, [{"name": name, "inputs": f"ask {name}", **c} for name, c in CASES.items()])))


@pytest.fixture(scope="module")
def evaluators(suite: Suite) -> Iterator[Evaluators]:
    with Evaluators(suite, ["mine"], timeout_s=3.0) as made:
        yield made


def ended(suite: Suite, name: str, text: str = "please sit") -> EndedQuery:
    (query,) = [one for one in suite.queries if one.name == name]
    call = ToolCall("find_definition", {}, ok=True)
    return EndedQuery(query, Answer(text, (call,)), TRACE, 1_500_000_000)


async def judged(suite: Suite, evaluators: Evaluators, one: EndedQuery) -> Judgement:
    return await EvaluatingJudge(suite, evaluators, lambda trace_id: SPANS, Path())(one)


def values(judgement: Judgement) -> dict[str, object]:
    return {one.name: one.value for one in judgement.evaluations}


async def test_default_evaluators_judge_and_the_first_failed_assertion_is_the_reason(
    suite: Suite, evaluators: Evaluators
):
    found = await judged(suite, evaluators, ended(suite, "defaults"))
    assert (found.verdict, found.reason) == (Verdict.WRONG_ANSWER, "Equals: does not hold")
    assert values(found) == {"EqualsExpected": True, "Contains": True, "Equals": False}
    assert found.evaluations[1].source == '{"name":"Contains","arguments":{"value":"SIT","case_sensitive":false}}'


async def test_evaluators_of_ones_own_give_their_own_reason(suite: Suite, evaluators: Evaluators):
    found = await judged(suite, evaluators, ended(suite, "mine"))
    assert (found.verdict, found.reason) == (Verdict.WRONG_ANSWER, "Politeness: said please 1 times")
    right = await judged(suite, evaluators, ended(suite, "mine", "please, please"))
    assert (right.verdict, right.reason) == (Verdict.CORRECT, None)


async def test_they_are_told_all_of_the_case_and_its_query(suite: Suite, evaluators: Evaluators):
    found = await judged(suite, evaluators, ended(suite, "everything"))
    assert found.verdict is Verdict.CORRECT
    assert values(found) == {
        "inputs": "ask everything",
        "expected": "e",
        "metadata": "{'tools': {'a': 1}}",
        "long enough": True,
        "requests": 2,
        "tokens": 12,
        "tools": 1,
    }


async def test_the_querys_spans_are_judged_on_every_path(suite: Suite, evaluators: Evaluators):
    found = await judged(suite, evaluators, ended(suite, "spans"))
    assert values(found) == {"ToolCorrectness": True, "MaxModelRequests": False, "HasMatchingSpan": True}
    assert found.verdict is Verdict.WRONG_ANSWER


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("raises", "KeyError: 'no such thing'"),
        ("hangs", "it did not return within 3 s"),
        ("dies", "its process ended"),
    ],
)
async def test_one_that_fails_leaves_its_case_not_judged_and_the_others_are_asked(
    suite: Suite, evaluators: Evaluators, case: str, why: str
):
    found = await judged(suite, evaluators, ended(suite, case))
    name = case.capitalize()
    assert (found.verdict, found.reason) == (Verdict.NOT_JUDGED, f"{name}: {why}")
    assert values(found) == {name: None, "Politeness": True}
    after = await judged(suite, evaluators, ended(suite, "mine", "please, please"))
    assert after.verdict is Verdict.CORRECT


async def test_what_is_no_finding_says_what_it_was(suite: Suite, evaluators: Evaluators):
    found = await judged(suite, evaluators, ended(suite, "odd"))
    assert found.verdict is Verdict.NOT_JUDGED
    assert values(found) == {"nan": None, "list": None, "none": None, "huge": None}
    assert found.reason == "nan: it gave nan, which is neither a truth, a finite number nor a text"


async def test_facts_come_first_and_evaluators_are_run_all_the_same(suite: Suite, evaluators: Evaluators):
    found = await judged(suite, evaluators, ended(suite, "facts"))
    assert (found.verdict, values(found)) == (Verdict.WRONG_ANSWER, {"Politeness": True})
    assert (await judged(suite, evaluators, ended(suite, "facts", "standing"))).verdict is Verdict.WRONG_ANSWER
    both = await judged(suite, evaluators, ended(suite, "facts", "please keep standing"))
    assert both.verdict is Verdict.CORRECT


@pytest.mark.parametrize("changes", [{"timed_out": True}, {"error": "gone"}, {"warm_up": True}], ids=str)
async def test_without_an_answer_that_counts_no_evaluator_is_asked(
    suite: Suite, evaluators: Evaluators, changes: dict[str, Any]
):
    before = time.monotonic()
    found = await judged(suite, evaluators, replace(ended(suite, "hangs"), **changes))
    assert found.evaluations == ()
    assert time.monotonic() - before < 1


async def test_a_case_without_any_is_not_judged(suite: Suite, evaluators: Evaluators):
    assert await judged(suite, evaluators, ended(suite, "none")) == Judgement(Verdict.NOT_JUDGED)


def test_what_cannot_be_run_is_refused_before_anything_is_asked(tmp_path: Path):
    suite = load_suite(str(write(tmp_path, [{"inputs": "a", "evaluators": ["Politenes"]}])))
    with pytest.raises(SuiteError, match=r"there is no evaluator 'Politenes' \(did you mean 'Politeness'\?\)"):
        Evaluators(suite, ["mine"])


def test_what_is_left_when_we_are_killed(tmp_path: Path):
    file = write(tmp_path, [{"inputs": "a", "evaluators": ["Hangs"]}])
    script = f"""
import threading, time
from punie_trace.suite.evaluator_messages import Finished
from punie_trace.suite.judging import Evaluators
from punie_trace.suite.load import load_suite
made = Evaluators(load_suite({str(file)!r}), ["mine"])
threading.Thread(target=made.evaluate, args=(0, Finished("x", 1.0, (), ".")), daemon=True).start()
for _ in range(1000):
    if made._process is not None:
        break
    time.sleep(0.02)
print(made._process.group, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as popen:
        assert popen.stdout is not None
        launcher = psutil.Process(int(popen.stdout.readline()))
        family = [launcher, *launcher.children(recursive=True)]
        popen.kill()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]


def test_the_library_for_evaluators_is_not_loaded_to_judge_by_it():
    script = (
        "import sys; import punie_trace.suite.judging, punie_trace.suite.load; "
        "print(sorted({'pydantic_evals', 'pydantic_ai', 'logfire'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYDANTIC_DISABLE_PLUGINS": "logfire-plugin"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


async def test_one_query_is_judged_at_a_time(suite: Suite, evaluators: Evaluators):
    judge = EvaluatingJudge(suite, evaluators, lambda trace_id: SPANS, Path())
    found: list[Judgement] = []

    async def one() -> None:
        found.append(await judge(ended(suite, "mine")))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(one)
    assert [judgement.reason for judgement in found] == ["Politeness: said please 1 times"] * 5
    assert all(isinstance(e, Evaluation) for judgement in found for e in judgement.evaluations)
    assert Query("x", "y").evaluators == ()
