"""The ledger of every query, made again from `spans.jsonl` by a few lines that share no code with the package."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from tests.cli.conftest import GOOD, Bench

LINES = ("client_queue", "generation", "tool", "framework")


def traces(file: Path) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for line in file.read_text().splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    span["attributes"] = {a["key"]: next(iter(a["value"].values())) for a in span["attributes"]}
                    span["start"], span["end"] = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
                    found.setdefault(span["traceId"], []).append(span)
    return found


def by_hand(spans: list[dict]) -> tuple[dict[str, int], dict[str, int]]:
    """(made again, as recorded), both in ns: walk over every instant at which anything starts or ends."""
    (root,) = [s for s in spans if s["name"].startswith("query ")]
    ledger = by_walking(root, int(root["attributes"]["punie.sent_ns"]), spans)
    recorded = {line: int(root["attributes"][f"punie.ledger.{line}_ns"]) for line in LINES}
    assert sum(ledger.values()) == root["end"] - root["start"] == int(root["attributes"]["punie.ledger.wall_ns"])
    return ledger, recorded


def by_walking(timed: dict, sent: int, spans: list[dict]) -> dict[str, int]:
    """The ledger between the start and the end of `timed`, which was sent at `sent`."""
    generations = [s for s in spans if s["attributes"].get("punie.segment") == "generation"]
    tools = [s for s in spans if s["attributes"].get("gen_ai.operation.name") == "execute_tool"]
    instants = {timed["start"], sent, timed["end"]}
    instants |= {t for s in generations + tools for t in (s["start"], s["end"]) if timed["start"] <= t <= timed["end"]}
    ordered = sorted(instants)
    ledger = dict.fromkeys(LINES, 0)
    for start, end in itertools.pairwise(ordered):
        if start < sent:
            line = "client_queue"
        elif any(s["start"] <= start and end <= s["end"] for s in generations):
            line = "generation"
        elif any(s["start"] <= start and end <= s["end"] for s in tools):
            line = "tool"
        else:
            line = "framework"
        ledger[line] += end - start
    return ledger


@pytest.mark.parametrize("path", ["agent", "http"])
def test_the_ledger_closes_to_the_nanosecond(bench: Bench, path: str) -> None:
    server = bench.server(GOOD)
    result = bench.run(f"[configurations.a]\n{server}\n[configurations.b]\n{server}temp = 0.5\n", "--path", path)
    assert result.exit_code == 0, result.output
    queries = {
        trace: spans
        for trace, spans in traces(bench.out / "spans.jsonl").items()
        if any(s["name"].startswith("query ") for s in spans)
    }
    assert len(queries) == 8 + 2, "8 counted queries and 2 that warmed up"
    for spans in queries.values():
        ledger, recorded = by_hand(spans)
        assert ledger == recorded
        assert ledger["generation"] > 0
    outcomes = [json.loads(line) for line in (bench.out / "outcomes.jsonl").read_text().splitlines()]
    for outcome in outcomes:
        (root,) = [s for s in queries[outcome["trace_id"]] if s["name"].startswith("query ")]
        assert (root["start"], root["end"]) == (outcome["due_ns"], outcome["done_ns"])


def test_each_query_is_one_trace_that_links_to_the_run(bench: Bench) -> None:
    bench.run(f"[configurations.a]\n{bench.server(GOOD)}")
    found = traces(bench.out / "spans.jsonl")
    (run,) = [s for spans in found.values() for s in spans if s["name"] == "run"]
    trees = [spans for spans in found.values() if any(s["name"] == "query find-librarian" for s in spans)]
    for spans in trees:
        names = {s["spanId"]: s["name"] for s in spans}
        parents = {(s["name"], names.get(s.get("parentSpanId", ""))) for s in spans}
        (root,) = [s for s in spans if not s.get("parentSpanId")]
        assert [link["spanId"] for link in root["links"]] == [run["spanId"]]
        agent = next(name for name in names.values() if name.startswith("invoke_agent"))
        chat = next(name for name in names.values() if name.startswith("chat"))
        assert parents >= {(agent, root["name"]), (chat, agent), ("POST", chat)}
        assert sum(name == "POST" for name in names.values()) == 2
        assert any(name.startswith("execute_tool") for name in names.values())
        assert all(root["start"] <= s["start"] <= s["end"] <= root["end"] for s in spans)
