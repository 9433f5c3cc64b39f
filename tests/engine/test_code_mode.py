"""Code mode against calls, on servers whose generations cost what the test says: the ledger finds the saving."""

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest

from punie_trace import Configuration, Experiment, Run, measure
from punie_trace.report.code_columns import code_lines
from punie_trace.spans import names
from punie_trace.spans.code_runs import code_of, code_runs
from punie_trace.testing import Reply, Rule, Script, ScriptedServer, Step, Text, ToolCall, Usage, scripted_server

pytest.importorskip("pydantic_ai_harness.code_mode", reason="needs punie-trace[code]")

GENERATION_S = 0.25
FILES = ("catalog/views.py", "loans/views.py", "accounts/views.py", "notifications/views.py")
QUERIES = 4
CODE = "\n".join(["texts = []", *(f"texts.append(await read_file(path={path!r}))" for path in FILES), "len(texts)"])
CALLS_USAGE = Usage(prompt_tokens=100, completion_tokens=20)
CODE_USAGE = Usage(prompt_tokens=300, completion_tokens=60)
SUITE = {
    "cases": [
        {
            "name": f"q{n}",
            "inputs": f"How many of the files have a view, question {n}?",
            "metadata": {"expected": "tool", "tools": ["read_file"], "answer_contains": ["four"]},
        }
        for n in range(QUERIES)
    ]
}


def server(usage: Usage, *turns: Step) -> ScriptedServer:
    rules = tuple(
        Rule(turn=turn, reply=Reply(steps=(step,), usage=usage, delay_s=GENERATION_S))
        for turn, step in enumerate([*turns, Text(text="It is four.")])
    )
    return scripted_server(Script(rules=rules))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, float]]:
    """The run, and what the servers themselves took for a query, in ms."""
    folder = tmp_path_factory.mktemp("code")
    suite = folder / "four.json"
    suite.write_text(json.dumps(SUITE))
    calls = tuple(ToolCall(name="read_file", arguments={"path": path}) for path in FILES)
    with ExitStack() as stack:
        servers = {
            "calls": stack.enter_context(server(CALLS_USAGE, *calls)),
            "code": stack.enter_context(server(CODE_USAGE, ToolCall(name="run_code", arguments={"code": CODE}))),
        }
        experiment = Experiment(
            suite=str(suite),
            rounds=1,
            warm_up=0,
            configurations=[
                Configuration(name, kind="url", url=one.base_url, tools="code" if name == "code" else "calls")
                for name, one in servers.items()
            ],
        )
        run = measure(experiment, out=folder / "run", otlp="off")
        took = {
            name: sum((one.done_ns or 0) - one.body_ns for one in each.requests) / QUERIES / 1e6
            for name, each in servers.items()
        }
    assert run.error is None
    return run, took


def test_the_saving_of_code_mode_is_the_planted_one(measured: tuple[Run, dict[str, float]]) -> None:
    run, took = measured
    (comparison,) = run.summary.comparisons
    found = comparison.difference
    assert found is not None
    assert (found.queries, found.pairs) == (QUERIES, QUERIES)
    assert found.generations == 2 - (len(FILES) + 1)
    assert found.input_tokens == 2 * 300 - 5 * 100
    assert found.output_tokens == 2 * 60 - 5 * 20
    planted = took["code"] - took["calls"]
    assert planted < -3 * GENERATION_S * 1e3 * 0.9, "the servers did what they were told"
    assert found.generation_ms == pytest.approx(planted, rel=0.15)
    lines = found.client_queue_ms, found.generation_ms, found.tools_ms, found.sandbox_ms, found.framework_ms
    assert sum(lines) == pytest.approx(found.wall_ms, abs=1e-3)
    assert found.sandbox_ms > 0
    parts = found.generation_parts
    assert parts is not None
    assert parts.generations_ms + parts.tokens_ms + parts.token_time_ms == pytest.approx(found.generation_ms, abs=1e-3)
    assert parts.generations_ms < 0 < parts.tokens_ms


def test_its_figures_stand_in_the_summary_and_a_line_says_them(measured: tuple[Run, dict[str, float]]) -> None:
    run, _ = measured
    figures = run.configurations["code"]
    assert (figures.tools, run.configurations["calls"].tools) == ("code", "calls")
    assert figures.correct == run.configurations["calls"].correct == QUERIES
    assert figures.tool_calls_per_query == run.configurations["calls"].tool_calls_per_query == len(FILES)
    assert figures.code is not None
    assert (figures.code.queries, figures.code.of, figures.code.problems) == (QUERIES, QUERIES, {})
    assert figures.code.calls_per_query == len(FILES)
    assert figures.ledger_ms is not None
    assert 0 < figures.ledger_ms.sandbox < figures.ledger_ms.tool
    saved = run.summary.model_dump(mode="json")
    assert saved["configurations"]["code"]["code"]["calls_per_query"] == len(FILES)
    (line,) = code_lines(run.summary)
    assert line.startswith("code: code ran in 4 of 4 answered queries and made 4.0 calls a query; a query takes")
    assert "-3.0 generations" in line


def test_the_trace_shows_the_code_and_the_calls_that_it_made(measured: tuple[Run, dict[str, float]]) -> None:
    run, _ = measured
    outcome = next(one for one in run.outcomes if one.configuration == "code")
    (found,) = code_runs(run.record.traces[outcome.trace_id])
    assert code_of(found) == CODE
    assert [span.attributes[names.GEN_AI_TOOL_NAME] for span in found.nested] == ["read_file"] * len(FILES)
    assert {span.parent_id for span in found.nested} == {found.span.span_id}
    assert all(found.span.start_ns <= span.start_ns <= span.end_ns <= found.span.end_ns for span in found.nested)
