from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from punie_trace.analysis.figures import Summary
from punie_trace.analysis.split import WITHHELD
from punie_trace.analysis.summary import summarize
from punie_trace.records import Query, Verdict
from punie_trace.runs.reader import read_run
from tests.synthetic_run import ARMS, QUERIES, Arm, write_run


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return summarize(read_run(write_run(tmp_path_factory.mktemp("runs") / "r")))


def summary_of(folder: Path, arms: Mapping[str, Arm], **how: object) -> Summary:
    return summarize(read_run(write_run(folder / "r", arms, **how)))  # ty: ignore[invalid-argument-type]


def test_it_says_who_is_faster_and_who_cannot_be_told(summary: Summary) -> None:
    verdicts = {one.other: one.speed.verdict for one in summary.comparisons if one.speed is not None}
    assert verdicts == {"speculative-2": "faster", "speculative-3": "faster", "speculative-5": "cannot tell"}


def test_ledger_lines_add_up_and_shares_to_one(summary: Summary) -> None:
    for figures in summary.configurations.values():
        ledger, shares = figures.ledger_ms, figures.ledger_share
        assert ledger is not None
        assert shares is not None
        lines = ledger.client_queue + ledger.generation + ledger.tool + ledger.framework
        assert lines == pytest.approx(ledger.wall, abs=1e-5)
        assert shares.client_queue + shares.generation + shares.tool + shares.framework == pytest.approx(1, abs=1e-5)
        assert figures.wall_ms is not None
        assert figures.wall_ms.mean == pytest.approx(ledger.wall, abs=1e-5)
    assert summary.ledger_errors == ()


def test_tokens_and_rates(summary: Summary) -> None:
    base = summary.configurations["baseline"]
    # Three tool queries of 24 + 60 tokens, two direct ones of 60, in three rounds.
    assert base.tokens.output == 3 * (3 * 84 + 2 * 60)
    assert base.generations_per_query == pytest.approx(24 / 15)
    assert base.ledger_ms is not None
    assert base.output_tokens_per_s == pytest.approx(base.tokens.output / (15 * base.ledger_ms.generation / 1000))
    assert base.effective_output_tokens_per_s == pytest.approx(base.tokens.output / (15 * base.ledger_ms.wall / 1000))


def test_the_first_chunk_of_a_call_held_back_is_no_ttft(summary: Summary) -> None:
    ttft = summary.configurations["baseline"].ttft_ms
    assert (ttft.n, ttft.of) == (6, 6)
    assert ttft.value == pytest.approx(81.4)


def test_prefill_is_seen_in_all_with_progress_and_in_streams_without(summary: Summary) -> None:
    seen = {name: one.generation_split_ms["prefill"] for name, one in summary.configurations.items()}
    assert (seen["baseline"].n, seen["baseline"].of, seen["baseline"].value) == (24, 24, pytest.approx(80))
    assert (seen["speculative-3"].n, seen["speculative-3"].of) == (15, 24)
    assert summary.configurations["baseline"].generation_split_ms["server_queue"].not_observable


def test_what_is_never_seen_has_no_value_but_a_reason(tmp_path: Path) -> None:
    queries = tuple(query for query in QUERIES if query.expected == "tool")
    figures = summary_of(tmp_path, {"only": Arm(draft=True, progress=False)}, queries=queries).configurations["only"]
    assert figures.ttft_ms.of == 0
    assert figures.ttft_call_ms is not None
    assert (figures.ttft_call_ms.value, figures.ttft_call_ms.not_observable) == (None, WITHHELD)


def test_accuracy_counts_queries_and_not_their_repeats(tmp_path: Path) -> None:
    wrong = {
        ("django-views", 0): Verdict.WRONG_TOOL,
        ("orm-or-sql", 0): Verdict.ERROR,
        ("orm-or-sql", 1): Verdict.TIMEOUT,
    }
    summary = summary_of(tmp_path, {"baseline": Arm(), "other": Arm(verdicts=wrong)})
    other = summary.configurations["other"]
    assert (other.correct, other.queries, other.outcomes) == (4, 5, 15)
    assert other.accuracy is not None
    assert (other.accuracy.value, other.accuracy.n) == (0.8, 5)
    assert other.verdicts == {"correct": 12, "wrong-tool": 1, "error": 1, "timeout": 1}
    assert [(problem.query, problem.verdicts) for problem in other.problems] == [
        ("django-views", {"correct": 2, "wrong-tool": 1}),
        ("orm-or-sql", {"correct": 1, "error": 1, "timeout": 1}),
    ]
    assert other.wall_ms is not None
    assert other.wall_ms.answered == 13
    (comparison,) = summary.comparisons
    assert comparison.speed is not None
    assert comparison.speed.pairs == 13
    assert comparison.accuracy is not None
    assert (comparison.accuracy.lost, comparison.accuracy.gained) == (("orm-or-sql",), ())
    assert any("2 of 15 queries ended in an error" in finding for finding in summary.findings)


def test_a_query_right_in_half_of_its_rounds_is_not_right(tmp_path: Path) -> None:
    arms = {"only": Arm(verdicts={("orm-or-sql", 0): Verdict.WRONG_ANSWER})}
    assert summary_of(tmp_path, arms, rounds=2).configurations["only"].correct == 4


def test_constant_answers_come_from_what_the_suite_expects(summary: Summary) -> None:
    constants = summary.constants
    assert (constants.always_tool, constants.never_tool, constants.queries) == (3, 2, 5)


def test_different_answers_are_a_finding_with_the_known_cause(summary: Summary) -> None:
    same = summary.configurations["speculative-3"].answers_identical_to_baseline
    assert same is not None
    assert (same.identical, same.of, same.different) == (3, 5, ("django-views", "async-await"))
    (finding,) = [one for one in summary.findings if "answered" in one]
    assert finding.startswith("speculative-3 answered 2 of 5 queries differently from baseline at temperature 0")
    assert "prompt cache" in finding


def test_other_servers_are_not_given_that_cause(tmp_path: Path) -> None:
    arms = {"baseline": Arm(kind="url"), "other": Arm(kind="url", draft=True, answers={"orm-or-sql": "No."})}
    findings = summary_of(tmp_path, arms).findings
    assert any("answered 1 of 5" in one for one in findings)
    assert not any("mlx-lm" in one for one in findings)


def test_memory_says_with_whom_its_server_is_shared(summary: Summary) -> None:
    figures = summary.configurations["speculative-2"]
    assert figures.memory_peak_bytes == 312 * 2**20
    assert figures.memory_shared_with == ("speculative-3", "speculative-5")
    assert summary.configurations["baseline"].memory_shared_with == ()


def test_tokens_that_no_one_counted_stay_unknown(tmp_path: Path) -> None:
    figures = summary_of(tmp_path, {"only": Arm(tokens_reported=False)}).configurations["only"]
    assert (figures.tokens.output, figures.output_tokens_per_s) == (None, None)
    assert figures.tpot_ms.value is None


def test_a_failed_configuration_is_there_and_named(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, {"baseline": Arm()}, failures={"broken": "the server exited\nlog"})
    assert summary.configurations["broken"].failure == "the server exited\nlog"
    assert summary.configurations["broken"].accuracy is None
    assert summary.findings[0] == "broken failed: the server exited"
    assert [one.other for one in summary.comparisons] == []


@pytest.mark.parametrize(("first", "missing"), [(None, False), (12, True)])
def test_a_query_that_is_asked_once_is_missed_in_no_other_round(
    tmp_path: Path, first: int | None, missing: bool
) -> None:
    queries = (*QUERIES[:-1], replace(QUERIES[-1], once=True))
    summary = summary_of(tmp_path, {"only": Arm()}, queries=queries, first=first, status="done")
    findings = summary.findings
    assert summary.run.asked == "5 queries (1 of them in one round only) x 3 rounds, concurrency 1"
    assert any("queries measured: only" in one or "is still running" in one for one in findings) is missing


def test_warm_prefixes_serial_serving_slow_blas_and_an_early_end_are_findings(tmp_path: Path) -> None:
    arms = {"baseline": Arm(cached=0), "drafted": Arm(draft=True, cached=400)}
    findings = " | ".join(summary_of(tmp_path, arms, concurrency=4, blas="reference", status="interrupted").findings)
    for text in ("warm prefixes differ: 78% of", "one request at a time", "reference BLAS", "the run was interrupted"):
        assert text in findings


def test_a_run_cut_short_says_how_far_it_came(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, ARMS, first=6, status="running")
    assert any("did not reach its end" in one and "baseline 2 of 15" in one for one in summary.findings)
    assert all(one.speed is None or one.speed.verdict == "cannot tell" for one in summary.comparisons)


def test_a_run_without_any_outcome_still_has_a_summary(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, {}, failures={"broken": "no weights"})
    assert summary.comparisons == ()
    assert "Nothing was measured" in summary.advice[0].text


def test_a_ledger_that_does_not_close_is_named_and_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", {"only": Arm()})
    spans = (folder / "spans.jsonl").read_text()
    outcome = read_run(folder).outcomes[0]
    wall = f'"{outcome.wall_ns}"'
    assert spans.count(wall) == 1
    (folder / "spans.jsonl").write_text(spans.replace(wall, '"1"'))
    summary = summarize(read_run(folder))
    assert len(summary.ledger_errors) == 1
    assert "does not close" in summary.ledger_errors[0]
    assert summary.configurations["only"].ledger_queries == 14


def test_of_many_ledgers_that_do_not_close_a_few_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", {"only": Arm()})
    spans = (folder / "spans.jsonl").read_text()
    for outcome in read_run(folder).outcomes:
        spans = spans.replace(f'"{outcome.wall_ns}"', '"1"')
    (folder / "spans.jsonl").write_text(spans)
    summary = summarize(read_run(folder))
    assert len(summary.ledger_errors) == 15
    errors = [one for one in summary.findings if "close" in one]
    assert len(errors) == 4
    assert errors[-1].startswith("12 more ledgers do not close")


def test_queries_without_spans_are_counted_and_not_guessed(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", {"only": Arm()})
    (folder / "spans.jsonl").unlink()
    summary = summarize(read_run(folder))
    figures = summary.configurations["only"]
    assert figures.ledger_ms is None
    assert figures.wall_ms is not None
    assert any("15 of 15 queries without spans" in one for one in summary.findings)


def test_time_is_split_into_what_changed(tmp_path: Path) -> None:
    quiet = Arm(noise=0.0)
    (comparison,) = summary_of(tmp_path, {"baseline": quiet, "fast": replace(quiet, speed=2.0)}).comparisons
    factors = comparison.generation_factors
    assert factors is not None
    assert (factors.generations, factors.tokens_per_generation) == (1.0, 1.0)
    assert factors.time_per_token == factors.generation_time < 0.75


def test_queries_that_nothing_is_said_of_are_a_finding(tmp_path: Path) -> None:
    queries = (*QUERIES, Query("open", "Hello?"))
    arm = Arm(verdicts={("open", round_): Verdict.NOT_JUDGED for round_ in range(3)})
    summary = summary_of(tmp_path, {"baseline": arm}, queries=queries)
    assert "baseline: 1 query not judged, outside accuracy: open; the suite may say what is right" in summary.findings
    assert summary.constants.queries == 5
    figures = summary.configurations["baseline"]
    assert (figures.queries, figures.correct, figures.not_judged) == (5, 5, ("open",))
    assert not figures.problems
    assert figures.goodput is not None
    assert figures.goodput.value is None


@pytest.mark.parametrize("verdict", [Verdict.ERROR, Verdict.UNPARSED_CALL])
def test_what_nothing_is_said_of_is_outside_accuracy_whatever_became_of_it(tmp_path: Path, verdict: Verdict) -> None:
    arm = Arm(verdicts={("open", 0): Verdict.NOT_JUDGED, ("open", 1): verdict, ("open", 2): verdict})
    figures = summary_of(tmp_path, {"baseline": arm}, queries=(*QUERIES, Query("open", "Hello?"))).configurations
    assert (figures["baseline"].queries, figures["baseline"].not_judged) == (5, ("open",))


def test_a_run_of_a_version_that_judged_by_having_an_answer_keeps_its_accuracy(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, {"baseline": Arm()}, queries=(*QUERIES, Query("open", "Hello?")))
    assert (summary.configurations["baseline"].queries, summary.configurations["baseline"].not_judged) == (6, ())


def test_a_round_whose_evaluator_failed_counts_for_nothing_and_is_a_problem(tmp_path: Path) -> None:
    arm = Arm(
        verdicts={(QUERIES[0].name, 1): Verdict.NOT_JUDGED}, errors={(QUERIES[0].name, 1): "Mine: ValueError: no"}
    )
    figures = summary_of(tmp_path, {"baseline": arm}).configurations["baseline"]
    assert (figures.queries, figures.correct, figures.not_judged) == (5, 5, (QUERIES[0].name,))
    (problem,) = figures.problems
    assert problem.error == "Mine: ValueError: no"


def test_a_category_of_one_query_counts_its_rounds_as_every_query_does(tmp_path: Path) -> None:
    one = [query for query in QUERIES if query.category == QUERIES[0].category][:1]
    run = read_run(write_run(tmp_path / "r"))
    outcomes = [outcome for outcome in run.outcomes if outcome.query == one[0].name]
    slow = outcomes[-1]  # one round of the other configuration is held up, as a cold one is
    held_up = replace(slow, done_ns=slow.done_ns + 10**11)
    found = summarize(replace(run, outcomes=tuple(held_up if outcome is slow else outcome for outcome in outcomes)))
    before = summarize(replace(run, outcomes=tuple(outcomes)))
    for was, now in zip(before.comparisons, found.comparisons, strict=True):
        category = one[0].category
        assert category is not None
        assert now.speed_by_category[category].value == pytest.approx(was.speed_by_category[category].value, rel=0.2)


def test_a_model_below_ones_home_is_named_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = read_run(write_run(tmp_path / "r"))
    configurations = {
        name: one.model_copy(update={"model": "/home/ada/models/big", "draft_model": "/home/adam/draft"})
        for name, one in run.header.configurations.items()
    }
    monkeypatch.setenv("HOME", "/home/ada")
    facts = summarize(replace(run, header=run.header.model_copy(update={"configurations": configurations}))).run
    assert facts.models == ("~/models/big",)
    assert facts.draft_models == ("/home/adam/draft",)
