from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.analysis.waterfall import Bar
from punie_trace.errors import ConfigurationError
from punie_trace.report.trace_json import choose, lanes, perfetto_text, speedscope_text
from punie_trace.runs.reader import RunRecord, read_run
from tests.synthetic_run import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return read_run(write_run(tmp_path_factory.mktemp("runs") / "r"))


def test_the_slowest_that_fits_is_chosen(run: RunRecord) -> None:
    assert choose(run).wall_ns == max(one.wall_ns for one in run.outcomes)
    chosen = choose(run, "async-await", "speculative-3", 1)
    assert (chosen.query, chosen.configuration, chosen.round) == ("async-await", "speculative-3", 1)
    with pytest.raises(ConfigurationError, match="did you mean 'async-await'"):
        choose(run, "async-wait")
    with pytest.raises(ConfigurationError, match="no query that fits"):
        choose(run, round_=99)


def test_perfetto_gets_every_span(run: RunRecord) -> None:
    outcome = choose(run)
    events = json.loads(perfetto_text(run, outcome))["traceEvents"]
    spans = [one for one in events if one["ph"] == "X"]
    assert len(spans) == len(run.traces[outcome.trace_id])
    whole = next(one for one in spans if one["cat"] == "query")
    assert (whole["ts"], whole["dur"]) == (0, pytest.approx(outcome.wall_ns / 1000))


def test_speedscope_closes_what_it_opens_in_order(run: RunRecord) -> None:
    value = json.loads(speedscope_text(run, choose(run)))
    assert value["shared"]["frames"]
    for profile in value["profiles"]:
        stack: list[int] = []
        at = 0.0
        for event in profile["events"]:
            assert event["at"] >= at
            at = event["at"]
            if event["type"] == "O":
                stack.append(event["frame"])
            else:
                assert stack.pop() == event["frame"]
        assert stack == []


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=20))
def test_within_a_lane_bars_nest_or_do_not_touch(times: list[tuple[int, int]]) -> None:
    bars = [Bar("b", "other", 0, start, start + length, (), None, "") for start, length in times]
    laid = lanes(bars)
    assert sorted(map(repr, (bar for lane in laid for bar in lane))) == sorted(map(repr, bars))
    for lane in laid:
        for index, one in enumerate(lane):
            for other in lane[index + 1 :]:
                nested = one.start_ns <= other.start_ns and other.end_ns <= one.end_ns
                assert nested or one.end_ns <= other.start_ns or other.end_ns <= one.start_ns


def test_hostile_texts_stay_texts(run: RunRecord, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r")
    spans = (folder / "spans.jsonl").read_text().replace('"POST"', '"</script>\\u001b[2J\\ud800"')
    (folder / "spans.jsonl").write_text(spans)
    hostile = read_run(folder)
    for text in (perfetto_text(hostile, choose(hostile)), speedscope_text(hostile, choose(hostile))):
        assert text.isascii()
        assert "\x1b" not in text
        json.loads(text)
