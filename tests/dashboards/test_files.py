"""The committed dashboards: current, readable, and every query of them valid and about metrics that really are sent."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

from dashboards.generator.files import dashboard_files
from punie_trace.records import Verdict
from punie_trace.runs.header import ConfigurationRecord, ServerRecord
from punie_trace.runs.reader import read_run
from punie_trace.spans import names
from punie_trace.spans.measurements import is_measured, measure
from punie_trace.spans.metrics import COUNTERS, GAUGES, HISTOGRAMS, GaugeValue, RunMetrics
from punie_trace.spans.span import AttributeValue, Span
from tests.prometheus_series import series_of
from tests.synthetic_run import ARMS, Arm, write_run

FOLDER = Path(__file__).parents[2] / "dashboards"
FILES = sorted(path.name for path in FOLDER.glob("*.json"))
VARIABLES = {"$__range": "1h", "$__rate_interval": "1m", "$__interval": "15s"}


def read(file: str) -> dict[str, Any]:
    return json.loads((FOLDER / file).read_text())


def panels() -> list[Any]:
    return [
        pytest.param(panel, id=f"{file}: {panel['title']}")
        for file in FILES
        for panel in read(file)["panels"]
        if panel["type"] != "row"
    ]


def queries(file: str) -> Iterator[str]:
    """Every PromQL expression of a dashboard, its variables filled in."""
    board = read(file)
    found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    for variable in board["templating"]["list"]:
        match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
        assert match is not None
        found.append(f"count by ({match[2]}) ({match[1]})")
    for query in found:
        for variable, value in VARIABLES.items():
            query = query.replace(variable, value)
        yield re.sub(r"\$\w+", ".*", query)


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """All series of a run in which everything happens that the exporter can tell of."""
    folder = tmp_path_factory.mktemp("run") / "run"
    late = Arm(verdicts={("async-await", 0): Verdict.TIMEOUT})
    run = read_run(write_run(folder, {**ARMS, "late": late}))
    metrics = RunMetrics("run-1")
    for spans in run.traces.values():
        root = next(span for span in spans if is_measured(span))
        asked = replace(root, attributes={**root.attributes, names.ASKED_BEFORE: 1})
        metrics.record(measure(asked, [*(span for span in spans if span is not root), *rare(root)]))
    metrics.record_header(
        run.header.model_copy(
            update={
                "servers": {"server-1": ServerRecord(memory_peak_bytes=2**28)},
                "configurations": {
                    "x": ConfigurationRecord(path="agent", server="server-1", kind="mlx_lm", num_draft_tokens=3)
                },
            }
        )
    )
    metrics.record_gauges(
        GaugeValue(metric, "x", "agent", 2.0)
        for metric in (names.METRIC_ENERGY_PER_RIGHT, names.METRIC_ENERGY_PER_TOKENS, names.METRIC_GPU_UTILIZATION)
    )
    data = metrics.collect()
    assert data is not None
    return series_of(encode_metrics(data))


def rare(root: Span) -> list[Span]:
    """Spans that the made-up run lacks: the agent's, failures, and a server that tells of its drafts."""
    kinds: list[dict[str, AttributeValue]] = [
        {names.GEN_AI_OPERATION: names.OPERATION_INVOKE_AGENT},
        {names.SEGMENT: names.SEGMENT_GENERATION, names.ERROR_TYPE: "500"},
        {names.GEN_AI_OPERATION: names.OPERATION_EXECUTE_TOOL, names.ERROR_TYPE: "KeyError"},
        {names.SEGMENT: names.SEGMENT_GENERATION, names.GEN_AI_INPUT_TOKENS: 9, names.GEN_AI_CACHED_TOKENS: 4},
        {names.TURN_NUMBER: 2, names.TURN_LEDGER_WALL: 5, names.TURN_VERDICT: "timeout"},
        {names.SPECULATION_DRAFTED: 9, names.SPECULATION_ACCEPTED: 5, names.SPECULATION_ROUNDS: 3},
    ]
    return [
        Span(root.trace_id, f"{n:016x}", root.span_id, "s", "CLIENT", root.start_ns, root.end_ns, attributes)
        for n, attributes in enumerate(kinds, start=100)
    ]


def test_they_are_current() -> None:
    made = dashboard_files()
    assert sorted(made) == FILES
    for name, text in made.items():
        assert (FOLDER / name).read_text() == text, f"{name} is old: run 'python -m dashboards.generator'"


@pytest.mark.parametrize("panel", panels())
def test_a_panel_asks_a_question_and_says_what_to_do_where_it_has_no_answer(panel: dict[str, Any]) -> None:
    assert panel["title"].endswith("?")
    assert panel["description"]
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["noValue"]
    assert panel["type"] == "table" or defaults["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "punie-prometheus"}
    assert panel["targets"]


def test_their_data_source_is_the_one_provisioned() -> None:
    (source,) = yaml.safe_load((FOLDER / "stack" / "datasources.yaml").read_text())["datasources"]
    assert (source["type"], source["uid"]) == ("prometheus", "punie-prometheus")


@pytest.mark.parametrize("file", FILES)
def test_queries_name_only_what_is_really_sent(file: str, sent: dict[str, set[str]]) -> None:
    made_by_query = {"arm", "stat"}
    for query in queries(file):
        code = re.sub(r'"(?:[^"\\]|\\.)*"', '""', query)
        selected = re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", code)
        assert selected or "count by" in query
        bare = set(re.findall(r"count by \(\w+\) \((\w+)\)", code))
        metrics = {name for name, _ in selected} | bare
        assert metrics <= set(sent), query
        labels = set().union(*(sent[name] for name in metrics))
        used = {label for _, matchers in selected for label in re.findall(r"(\w+)\s*[=!]", matchers)}
        used |= {label for group in re.findall(r"(?:by|on) \(([^)]*)\)", code) for label in group.split(", ")}
        assert used <= labels | made_by_query, query


def test_every_metric_that_is_sent_is_shown_somewhere(sent: dict[str, set[str]]) -> None:
    assert {metric for metric, *_ in (*HISTOGRAMS, *COUNTERS, *GAUGES)} == {
        value for name, value in vars(names).items() if name.startswith("METRIC_")
    }
    shown = " ".join(query for file in FILES for query in queries(file))
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in sent}
    assert {name for name in bases if name not in shown} == set()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("file", FILES)
def test_queries_are_valid_promql(file: str, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries(file))]
    written = tmp_path / "rules.yml"
    written.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(written)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
