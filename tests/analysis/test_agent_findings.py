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


def test_a_function_that_did_not_ask_for_token_counts_is_told_what_to_set() -> None:
    summary = summarize(read_run(DONE))
    name, figures = next(iter(summary.configurations.items()))
    uncounted = {"uncounted_generations": 2, "finish_reasons": {"stop": 3}}

    def found(path: str) -> list[str]:
        changed = figures.model_copy(update={**uncounted, "path": path})
        return list(agent_findings(summary.model_copy(update={"configurations": {name: changed}})))

    (one,) = found("imported")
    assert one.startswith(f"{name}: the server told no token counts of 2 of 3 generations")
    assert "stream_options={'include_usage': True}" in one
    assert found("http") == []  # these paths ask for them: there is nothing to set
