"""A run over a server of ours, which it starts itself: the server's spans end in the run's folder and its figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Bench
from tests.cli.test_ledger_from_spans import by_hand, traces
from tests.tiny_model import make_model

STEPS = {"queue", "tokenize", "prefill", "decode", "speculation"}


@pytest.mark.timeout(300)
def test_one_trace_runs_from_the_query_to_the_draft_rounds(bench: Bench, tmp_path: Path) -> None:
    target = make_model(tmp_path.resolve() / "target", layers=1, context=4096)
    own = f'kind = "punie"\nmodel_path = {json.dumps(str(target))}\nspeculation = "adaptive"\n'
    result = bench.run(
        f'[agent]\nmax_tokens = 24\n[configurations.suffix]\n{own}drafter = "suffix"\n'
        f'[configurations.ngram]\n{own}drafter = "ngram"\n',
        *("--path", "http", "--rounds", "1"),
    )
    assert result.exit_code == 0, result.output
    queries = [
        spans
        for spans in traces(bench.out / "spans.jsonl").values()
        if any(span["name"].startswith("query ") for span in spans)
    ]
    assert len(queries) == 4 + 2, "4 counted and 2 that warmed up"
    for spans in queries:
        ledger, recorded = by_hand(spans)
        assert ledger == recorded
        by_id = {span["spanId"]: span for span in spans}
        servers = [span for span in spans if span["name"] == "server chat"]
        posts = [span for span in spans if span["name"] == "POST"]
        assert len(servers) == len(posts) > 0
        for server in servers:
            post = by_id[server["parentSpanId"]]
            assert post["name"] == "POST"
            # One clock for both processes: what the server did lies within what the client waited for.
            assert post["start"] <= server["start"] <= server["end"]
            below = {span["name"]: span for span in spans if span.get("parentSpanId") == server["spanId"]}
            assert below.keys() == STEPS
            assert all(post["start"] <= span["start"] and span["end"] <= post["end"] for span in below.values())
    summary = json.loads((bench.out / "summary.json").read_text())
    for name in ("suffix", "ngram"):
        figures = summary["configurations"][name]
        assert figures["kind"] == "punie"
        assert figures["speculation"]["generations"] > 0
        split = figures["generation_split_ms"]
        assert all(split[phase]["n"] == split[phase]["of"] > 0 for phase in ("server_queue", "prefill", "decode"))
        total = sum(phase["value"] for phase in split.values())
        assert total == pytest.approx(figures["ledger_ms"]["generation"] / figures["generations_per_query"], rel=0.02)
    assert "Speculation" in (bench.out / "report.html").read_text()
