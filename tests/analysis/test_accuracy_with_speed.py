"""Figures in which speed and right answers meet, and what a run tells of how it was made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from punie_trace.analysis.observations import observe
from punie_trace.analysis.summary import summarize
from punie_trace.records import JsonValue, MachineSample, Verdict
from punie_trace.runs.header import Look, StoppingRecord
from punie_trace.runs.reader import RunRecord, read_run
from punie_trace.spans import names
from punie_trace.spans.codec import to_line
from tests.synthetic_run import ARMS, Arm, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    verdicts = {("django-views", 0): Verdict.ERROR, ("async-await", 1): Verdict.WRONG_ANSWER}
    return read_run(write_run(tmp_path_factory.mktemp("runs") / "r", {**ARMS, "baseline": Arm(verdicts=verdicts)}))


def asking(run: RunRecord, objectives: dict[str, JsonValue]) -> RunRecord:
    return replace(run, header=run.header.model_copy(update={"configuration": {"objectives": objectives}}))


def analysed(run: RunRecord, analyses: tuple[Look, ...]) -> RunRecord:
    stopping = StoppingRecord(alpha=0.05, least_rounds=2, most_rounds=10, looks=analyses, reason="for a test")
    return replace(run, header=run.header.model_copy(update={"stopping": stopping}))


def test_time_per_correct_counts_all_that_was_spent(run: RunRecord) -> None:
    spent = sum(one.wall_ns for one in run.outcomes if one.configuration == "baseline")
    assert summarize(run).configurations["baseline"].time_per_correct_ms == pytest.approx(spent / 13 / 1e6)


def test_goodput_is_of_all_that_were_sent(run: RunRecord) -> None:
    goodput = summarize(run).configurations["baseline"].goodput
    assert goodput is not None
    assert (goodput.good, goodput.of, goodput.objectives) == (13, 15, {})
    within = summarize(asking(run, {"wall_s": 0.8, "ttft_s": None})).configurations["baseline"].goodput
    assert within is not None
    assert within.objectives == {"wall_s": 0.8}
    assert within.good == sum(
        one.wall_ns <= 800_000_000 and one.verdict is Verdict.CORRECT
        for one in run.outcomes
        if one.configuration == "baseline"
    )
    assert 0 < within.good < 13


def test_an_objective_that_was_not_seen_is_not_judged(run: RunRecord) -> None:
    goodput = summarize(asking(run, {"ttft_s": 1.0})).configurations["baseline"].goodput
    assert goodput is not None
    assert goodput.value is None  # the server holds tool calls back, and nobody saw their first token
    assert "cannot be judged" in (goodput.not_observable or "")


def test_generations_cut_off_are_one_finding_of_all_that_had_any(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", ARMS)
    whole = read_run(folder)
    # 'stop' of three configurations' first query: twice one generation of two, once both of them.
    names_of = [one.configuration for one in whole.outcomes[:3]]
    trace_of = {one.trace_id: one.seq for one in whole.outcomes[:3]}
    rows = []
    for span in whole.spans:
        reasons = span.attributes.get(names.GEN_AI_FINISH_REASONS)
        if reasons and span.trace_id in trace_of and (reasons == ("stop",) or trace_of[span.trace_id] == 2):
            span = replace(span, attributes={**span.attributes, names.GEN_AI_FINISH_REASONS: ("length",)})
        rows.append(to_line(span))
    (folder / "spans.jsonl").write_bytes(b"".join(rows))
    found = [one for one in summarize(read_run(folder)).findings if "max_tokens" in one]
    assert found == [
        "generations were cut off at max_tokens, and their times are the limit's: "
        f"1 of 24 of {names_of[0]}, {names_of[1]}; 2 of 24 of {names_of[2]}; raise max_tokens"
    ]


def test_finish_reasons_are_counted(run: RunRecord) -> None:
    # Of the query that ended in an error nothing counts.
    assert summarize(run).configurations["baseline"].finish_reasons == {"stop": 14, "tool_calls": 8}


def test_the_parts_of_the_slowest_query_are_its_time(run: RunRecord) -> None:
    slowest = summarize(run).slowest
    assert slowest is not None
    assert sum(part.on_path for part in slowest.parts) == pytest.approx(slowest.wall)
    assert slowest.wall == pytest.approx(max(one.wall_ns for one in run.outcomes) / 1e6)


def test_interim_analyses_cost_certainty_and_large_differences_are_found_all_the_same(run: RunRecord) -> None:
    analyses = tuple(Look(last_round=number, rounds=number + 1, spent=(number + 1) / 10) for number in (1, 2))
    fixed = {one.other: one.speed for one in summarize(run).comparisons}
    analysed_speeds = {one.other: one.speed for one in summarize(analysed(run, analyses)).comparisons}
    for name, speed in analysed_speeds.items():
        before = fixed[name]
        assert speed is not None
        assert before is not None
        assert speed.estimate == before.estimate
        assert speed.low is not None
        assert before.low is not None
        assert speed.low < before.low
    assert {name: one.verdict for name, one in analysed_speeds.items() if one} == {
        "speculative-2": "faster",
        "speculative-3": "faster",
        "speculative-5": "cannot tell",
    }
    assert "2 interim analyses" in summarize(analysed(run, analyses)).run.stopping


def test_rounds_that_were_asked_again_count_in_nothing(run: RunRecord) -> None:
    header = run.header.model_copy(update={"left_out_rounds": (0,), "rounds": 2})
    without = replace(run, header=header)
    assert {one.outcome.round for all_ in observe(without).values() for one in all_} == {1, 2}
    assert any("asked again and left out of every figure: round 0" in one for one in summarize(without).findings)


def test_a_disturbed_round_is_found(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", {"a": Arm()})
    outcomes = read_run(folder).outcomes
    first = [one for one in outcomes if one.round == 0]
    sample = MachineSample(first[0].due_ns, first[-1].done_ns, other_cpu=0.5, thermal="nominal")
    lines = ['{"start_ns": %d, "end_ns": %d, "other_cpu": 0.5, "thermal": "nominal", "later_field": 1}\n', "{oops"]
    (folder / "conditions.jsonl").write_text(lines[0] % (sample.start_ns, sample.end_ns) + lines[1])
    summary = summarize(read_run(folder))
    assert summary.disturbed_rounds == {0: ("other processes took 50% of the machine's cores",)}
    assert any("round 0 was disturbed by something else" in one for one in summary.findings)
    assert summary.run.thermal == "nominal"
