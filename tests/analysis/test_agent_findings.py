"""What an agent asked past its endpoint and what its program left are said, and nothing where there is neither."""

from __future__ import annotations

from pathlib import Path

from punie_trace.analysis.agent_findings import agent_findings
from punie_trace.analysis.summary import summarize
from punie_trace.runs.reader import read_run

DONE = Path(__file__).parents[1] / "runs" / "folders" / "done"


def test_a_run_of_the_built_in_agent_has_none_of_these() -> None:
    assert list(agent_findings(summarize(read_run(DONE)))) == []


def test_hosts_and_processes_are_named_with_their_counts() -> None:
    summary = summarize(read_run(DONE))
    name, figures = next(iter(summary.configurations.items()))
    hosts = {f"host-{number}": 2 for number in range(7)}
    changed = figures.model_copy(update={"requests_elsewhere": hosts, "left_processes": {"node": 1}})
    found = list(agent_findings(summary.model_copy(update={"configurations": {name: changed}})))
    assert found[0].startswith(
        f"{name}: 14 requests for tokens did not go through its endpoint (host-0 2, host-1 2, host-2 2, host-3 2, "
        "host-4 2 and 2 more): "
    )
    assert found[1].startswith(f"{name}: its program left 1 process running (node 1), ")
