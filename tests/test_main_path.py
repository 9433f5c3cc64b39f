"""The main path for real: the shipped model, real `mlx_lm` servers, a real agent, real tools."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from punie_trace.analysis.ledger import check_ledger, query_span
from punie_trace.records import Outcome, Verdict
from punie_trace.runs.reader import RunRecord, read_run
from punie_trace.suite.load import load_suite, sample_workspace

pytestmark = pytest.mark.timeout(400)
SHOW = "Show me the UserSerializer implementation"
CONFIGURATIONS = ("baseline", "speculative-3", "adaptive")


def punie_trace(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "punie_trace", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=380, check=False)


@pytest.fixture(scope="module")
def default_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRecord, str]:
    """The default run with one fresh question instead of twelve, and what it printed."""
    folder = tmp_path_factory.mktemp("default")
    suite = "discrimination+fresh:1"
    done = punie_trace(folder, "run", "--rounds", "1", "--suite", suite, "--out", "run", "--otlp", "off")
    assert done.returncode == 0, done.stderr + done.stdout
    return read_run(folder / "run"), done.stdout


def of(run: RunRecord, configuration: str) -> dict[str, Outcome]:
    return {o.query: o for o in run.outcomes if o.configuration == configuration}


def test_every_configuration_is_asked_every_query(default_run: tuple[RunRecord, str]) -> None:
    run, printed = default_run
    assert tuple(run.header.configurations) == CONFIGURATIONS
    assert len(run.outcomes) == 18
    assert run.header.status == "done"
    assert all(name in printed for name in CONFIGURATIONS)


def test_the_baseline_gets_all_five_right(default_run: tuple[RunRecord, str]) -> None:
    run, _ = default_run
    asked = of(run, "baseline")
    assert [(q.name, asked[q.name].verdict) for q in run.header.suite.queries if not q.once] == [
        (q.name, Verdict.CORRECT) for q in load_suite("discrimination").queries
    ]


def test_fresh_questions_are_answered_from_the_code_base_that_was_made_with_them(
    default_run: tuple[RunRecord, str],
) -> None:
    run, _ = default_run
    asked = [query for query in run.header.suite.queries if query.once and query.expected == "tool"]
    assert {query.workspace for query in asked} == {"-fresh"}
    answers = {q.name: [o.answer for o in run.outcomes if o.query == q.name and o.tool_calls] for q in asked}
    for query in asked:
        assert all(text in answer for answer in answers[query.name] for text in query.answer_contains), query


def test_the_serializer_is_shown_as_it_stands_in_the_workspace(default_run: tuple[RunRecord, str]) -> None:
    run, _ = default_run
    answer = of(run, "baseline")["show-user-serializer"]
    source = (sample_workspace() / "accounts" / "serializers.py").read_text().splitlines()
    start = next(i for i, line in enumerate(source) if line.startswith("class UserSerializer"))
    end = next((i for i in range(start + 1, len(source)) if source[i] and not source[i].startswith(" ")), len(source))
    assert "\n".join(source[start:end]).rstrip() in answer.answer
    assert [c.name for c in answer.tool_calls] == ["find_definition"]


def test_the_baseline_tells_tool_from_direct_in_all_five(default_run: tuple[RunRecord, str]) -> None:
    run, _ = default_run
    outcomes = of(run, "baseline")
    for query in (query for query in run.header.suite.queries if not query.once):
        called = [c.name for c in outcomes[query.name].tool_calls]
        assert bool(called) == (query.expected == "tool"), query.name
        if called:
            assert called[0] in query.tools


def test_answers_really_come_from_the_model_that_was_asked(default_run: tuple[RunRecord, str]) -> None:
    run, _ = default_run
    models = {o.served_model for o in run.outcomes}
    assert models == {run.header.configurations["baseline"].model}
    for record in run.header.servers.values():
        assert record.identity["weights_digest"]
        assert record.memory_peak_bytes
    speculative = run.header.configurations["speculative-3"]
    assert speculative.num_draft_tokens == 3
    assert run.header.servers[speculative.server or ""].identity["draft_digest"]


def test_every_ledger_closes_and_is_mostly_generation(default_run: tuple[RunRecord, str]) -> None:
    run, _ = default_run
    for outcome in run.outcomes:
        spans = run.traces[outcome.trace_id]
        ledger = check_ledger(spans)
        root = query_span(spans)
        assert ledger.wall_ns == root.end_ns - root.start_ns == outcome.done_ns - outcome.due_ns
        assert ledger.generation_ns > ledger.tool_ns


def test_tokens_are_counted_by_the_server(default_run: tuple[RunRecord, str]) -> None:
    run, _ = default_run
    for outcome in run.outcomes:
        assert outcome.output_tokens is not None
        assert outcome.output_tokens > 0
        assert outcome.cached_tokens is not None


def test_the_three_paths_ask_the_same(tmp_path: Path) -> None:
    suite = {
        "name": "two",
        "cases": [  # the warm-up asks the first
            {"name": "concept", "inputs": "What is dependency injection?", "metadata": {"expected": "direct"}},
            {
                "name": "serializer",
                "inputs": "Show me the UserSerializer implementation",
                "metadata": {"expected": "tool"},
            },
        ],
    }
    (tmp_path / "two.json").write_text(json.dumps(suite))
    (tmp_path / "paths.toml").write_text(
        "suite = 'two.json'\nrounds = 1\n[configurations.agent]\n[configurations.http]\npath = 'http'\n"
        "[configurations.inprocess]\npath = 'inprocess'\n"
    )
    done = punie_trace(tmp_path, "run", "--config", "paths.toml", "--out", "run", "--otlp", "off")
    assert done.returncode == 0, done.stderr + done.stdout
    run = read_run(tmp_path / "run")
    answers = {name: of(run, name) for name in ("agent", "http", "inprocess")}
    for query in ("serializer", "concept"):
        outcomes = [answers[name][query] for name in answers]
        assert len({o.answer for o in outcomes}) == 1
        assert len({o.input_tokens for o in outcomes}) == 1, "the prompts are the same to the token"
        assert {o.verdict for o in outcomes} == {Verdict.CORRECT}
    for outcome in run.outcomes:
        check_ledger(run.traces[outcome.trace_id])


def test_a_draft_of_another_tokenizer_is_refused(tmp_path: Path) -> None:
    from punie_trace.models import shipped_model

    target, draft = shipped_model()
    other = tmp_path / "other"
    other.mkdir()
    for file in draft.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    first, second = list(vocabulary)[300:302]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    done = punie_trace(tmp_path, "run", "--model", str(target), "--draft-model", str(other), "--out", "run")
    assert done.returncode == 2, done.stderr
    assert "tokenizer" in done.stderr
    assert not (tmp_path / "run").exists()
