from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from punie_trace.records import Verdict
from punie_trace.report.links import dashboard_links, trace_links
from punie_trace.runs.reader import RunRecord, read_run
from tests.synthetic_run import Arm, write_run

JAEGER, GRAFANA = "http://localhost:16686", "http://localhost:3000"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("runs") / "run"
    failing = Arm(speed=9.0, verdicts={("django-views", 0): Verdict.TIMEOUT})
    return read_run(write_run(folder, {"baseline": Arm(), "fast": Arm(speed=2.0), "failing": failing}, rounds=1))


def test_they_lead_to_the_slowest_query_and_to_one_query_twice(run: RunRecord) -> None:
    slowest, twice = trace_links(run.header, run.outcomes, JAEGER)
    expected = max(run.outcomes, key=lambda one: one.wall_ns)
    assert slowest.url == f"{JAEGER}/trace/{expected.trace_id}"
    assert expected.query in slowest.shows
    ids = twice.url.removeprefix(f"{JAEGER}/trace/").split("...")
    one, other = (next(o for o in run.outcomes if o.trace_id == trace_id) for trace_id in ids)
    assert (one.configuration, other.configuration) == ("baseline", "failing")
    assert one.query == other.query
    assert other.verdict is Verdict.CORRECT


def test_dashboards_have_the_run_and_its_time_selected(run: RunRecord) -> None:
    compare, one = dashboard_links(run.header, run.outcomes, GRAFANA)
    assert urlsplit(compare.url).path == "/d/punie-compare"
    assert urlsplit(one.url).path == "/d/punie-run"
    chosen = parse_qs(urlsplit(compare.url).query)
    assert chosen["var-run"] == [run.header.id]
    assert int(chosen["from"][0]) * 1_000_000 < min(o.due_ns for o in run.outcomes)
    assert int(chosen["to"][0]) * 1_000_000 > max(o.done_ns for o in run.outcomes)


def test_a_run_of_one_configuration_has_nothing_to_compare(tmp_path: Path) -> None:
    alone = read_run(write_run(tmp_path / "run", {"baseline": Arm()}, rounds=1))
    assert len(trace_links(alone.header, alone.outcomes, JAEGER)) == 1


def test_without_outcomes_there_is_nowhere_to_go(run: RunRecord) -> None:
    assert trace_links(run.header, (), JAEGER) == []
    assert dashboard_links(run.header, (), GRAFANA) == []
