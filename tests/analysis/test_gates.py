from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.analysis.drafted import Drafted, speculation_figures
from punie_trace.analysis.figure_kinds import Bounded
from punie_trace.analysis.figures import Summary
from punie_trace.analysis.gates import (
    OTHERS,
    PRESETS,
    UNITS,
    Gate,
    GateResult,
    Operator,
    check_gates,
    check_names,
    parse_gate,
    parse_gates,
)
from punie_trace.analysis.named_figures import FIGURES
from punie_trace.analysis.summary import summarize
from punie_trace.errors import ConfigurationError
from punie_trace.records import Verdict
from punie_trace.runs.reader import read_run
from tests.synthetic_run import ARMS, Arm, write_run

OPERATORS: tuple[Operator, ...] = ("<", "<=", ">", ">=", "==", "!=")
NAMES = st.from_regex(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,2}", fullmatch=True)


@st.composite
def gates(draw: st.DrawFn) -> Gate:
    figure = draw(st.sampled_from(list(FIGURES)))
    return Gate(
        configuration=draw(st.none() | NAMES),
        figure=figure,
        operator=draw(st.sampled_from(OPERATORS)),
        value=draw(st.floats(-1e200, 1e200)),
        unit=draw(st.sampled_from(list(UNITS[FIGURES[figure].quantity]))),
        undecided_passes=draw(st.booleans()),
    )


@given(gates())
def test_what_is_written_is_read_again(gate: Gate) -> None:
    assert parse_gate(str(gate)) == gate


@given(st.text() | st.text("<>=!?.%0123456789eE+- adiptvewlcurysmGBns:\n"))
def test_any_text_is_a_gate_or_a_clear_error(text: str) -> None:
    try:
        parsed = parse_gates([text])
    except ConfigurationError as error:
        assert "gate " in str(error)  # noqa: PT017  # most texts are none, some are
    else:
        assert parse_gates([str(gate) for gate in parsed]) == parsed


@pytest.mark.parametrize("text", ["", "a.", "a <", "wall.p95 <", "9" * 999, "<" * 999, f"wall.p95 < {'9' * 999}s"])
def test_empty_half_and_endless_lines_are_clear_errors(text: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        parse_gate(text)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("adaptive.wall.p95 < 10s", Gate("adaptive", "wall.p95", "<", 10, "s")),
        ("adaptive.speedup>1.5", Gate("adaptive", "speedup", ">", 1.5)),
        ("accuracy == 1", Gate(None, "accuracy", "==", 1)),
        ("memory.peak < 32GB", Gate(None, "memory.peak", "<", 32, "GB")),
        ("  memory.peak <= 29.8 gib ?", Gate(None, "memory.peak", "<=", 29.8, "GiB", undecided_passes=True)),
        ("qwen2.5-draft.identical >= 95%", Gate("qwen2.5-draft", "identical", ">=", 95, "%")),
        ("others.time_saved > 60%", Gate(OTHERS, "time_saved", ">", 60, "%")),
    ],
)
def test_it_reads_what_people_write(text: str, gate: Gate) -> None:
    assert parse_gate(text) == gate


def test_units_come_to_their_base() -> None:
    assert parse_gate("wall.p95 < 10s").bound == 10_000
    assert parse_gate("wall.p95 < 2min").bound == 120_000
    assert parse_gate("memory.peak < 32GB").bound == 32e9
    assert parse_gate("memory.peak < 32GiB").bound == 32 * 2**30
    assert parse_gate("accuracy > 90%").bound == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("adaptive.wall.p59 < 10s", "no figure 'wall.p59'; did you mean 'wall.p95'?"),
        ("acuracy == 1", "did you mean 'accuracy'?"),
        ("wall.p95 < 10", "a unit is missing"),
        ("memory.peak < 10s", "unit 's' does not fit"),
        ("wall.p95 = 10s", "cannot be read"),
        ("wall.p95 < nan s", "cannot be read"),
        ("accuracy > 1e999", "beyond all numbers"),
        ("preset:interactiv", "did you mean 'interactive'?"),
        (".accuracy == 1", "no figure"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_nearest(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^gate ") as caught:
        parse_gates([text])
    assert says in str(caught.value)


def test_no_figure_ends_another_so_that_the_configuration_is_unambiguous() -> None:
    assert not [(one, other) for one in FIGURES for other in FIGURES if one.endswith(f".{other}")]


def test_presets_are_gates_for_all_but_the_baseline_or_for_one() -> None:
    for name, lines in PRESETS.items():
        assert [gate.configuration for gate in parse_gates([f"preset:{name}"])] == [OTHERS] * len(lines)
        assert {gate.configuration for gate in parse_gates([f"a.b.preset:{name}"])} == {"a.b"}


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return summarize(read_run(write_run(tmp_path_factory.mktemp("runs") / "r")))


def summary_of(folder: Path, arms: Mapping[str, Arm], **how: object) -> Summary:
    return summarize(read_run(write_run(folder / "r", arms, **how)))  # ty: ignore[invalid-argument-type]


def check(summary: Summary, text: str) -> GateResult:
    (result,) = check_gates(parse_gates([text]), summary)
    return result


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("speculative-3.speedup > 1.5", "passed"),
        ("speculative-3.speedup > 1.7", "undecided"),
        ("speculative-3.speedup > 2", "failed"),
        ("speculative-3.speedup < 2", "passed"),
        ("speedup > 1.2", "undecided"),
        ("speedup > 1.4", "failed"),
        ("speculative-3.time_saved > 35%", "passed"),
        ("speculative-3.time_saved > 60%", "failed"),
        ("accuracy == 1", "passed"),
        ("accuracy > 0.5", "passed"),
        ("accuracy > 0.9", "undecided"),
        ("accuracy.lost == 0", "passed"),
        ("speculative-3.identical == 60%", "passed"),
        ("identical == 1", "failed"),
        ("errors == 0", "passed"),
        ("wall.median < 10s", "passed"),
        ("wall.median < 100ms", "failed"),
        ("memory.peak < 32GB", "passed"),
        ("memory.peak < 300MiB", "failed"),
        ("generation.share > 90%", "passed"),
        ("baseline.ttft < 82ms", "passed"),
        ("tokens_per_s > 1000", "failed"),
    ],
)
def test_it_is_decided_on_the_interval(summary: Summary, text: str, verdict: str) -> None:
    result = check(summary, text)
    assert result.verdict == verdict
    assert result.holds == (verdict == "passed")


def test_the_worst_configuration_decides_and_compared_figures_leave_the_baseline_out(summary: Summary) -> None:
    result = check(summary, "speedup > 1.2")
    assert [reading.configuration for reading in result.readings] == ["speculative-2", "speculative-3", "speculative-5"]
    assert [reading.verdict for reading in result.readings] == ["passed", "passed", "undecided"]
    assert "within the interval" in result.readings[-1].why
    assert len(check(summary, "accuracy == 1").readings) == 4
    assert len(check(summary, "others.accuracy == 1").readings) == 3


def test_undecided_fails_unless_the_line_allows_it(summary: Summary) -> None:
    assert not check(summary, "speedup > 1.2").holds
    assert check(summary, "speedup > 1.2 ?").holds
    assert not check(summary, "speedup > 1.4 ?").holds


def test_few_answers_decide_no_p95_and_say_how_many_would(summary: Summary, tmp_path: Path) -> None:
    (reading,) = check(summary, "baseline.wall.p95 < 10s").readings
    assert (reading.verdict, reading.low) == ("undecided", None)
    assert "it takes 59" in reading.why
    many = summary_of(tmp_path, {"baseline": Arm()}, rounds=12)
    assert check(many, "wall.p95 < 10s").verdict == "passed"
    assert check(many, "wall.p95 < 10ms").verdict == "failed"


def test_few_queries_decide_no_median(summary: Summary) -> None:
    base = summary.configurations["baseline"]
    assert base.wall_ms is not None
    # Four queries place the median between their extremes with a chance of 1 / 8 to err, a sixteenth on each side.
    few = base.model_copy(update={"wall_ms": base.wall_ms.model_copy(update={"confidence": 0.875})})
    changed = summary.model_copy(update={"configurations": {**summary.configurations, "baseline": few}})
    assert check(changed, "baseline.wall.median < 10s").verdict == "undecided"


def test_a_configuration_that_was_not_measured_fails_even_a_lenient_gate(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, {"baseline": Arm()}, failures={"broken": "no weights"})
    result = check(summary, "accuracy == 1 ?")
    assert (result.verdict, result.holds) == ("failed", False)
    assert "it failed" in result.readings[-1].why


def test_a_pass_does_not_hold_for_queries_that_were_never_asked(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, {"baseline": Arm()}, first=3)
    (reading,) = check(summary, "accuracy == 1").readings
    assert (reading.verdict, reading.why) == ("undecided", "only 3 of 5 queries were asked")
    assert check(summary, "wall.mean > 100s").verdict == "failed"


def test_times_do_not_pass_by_leaving_out_what_timed_out(tmp_path: Path) -> None:
    slow = Arm(verdicts={("orm-or-sql", 0): Verdict.TIMEOUT})
    summary = summary_of(tmp_path, {"baseline": Arm(), "other": slow})
    (reading,) = check(summary, "other.wall.median < 10s").readings
    assert reading.verdict == "undecided"
    assert "1 of 15 ended in an error or a timeout" in reading.why
    assert check(summary, "other.wall.median < 10ms").verdict == "failed"
    assert check(summary, "other.errors == 1").verdict == "passed"


def test_what_was_not_observed_is_undecided_with_the_reason(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, {"baseline": Arm(tokens_reported=False)})
    (reading,) = check(summary, "tokens.output < 100").readings
    assert (reading.verdict, reading.value) == ("undecided", None)
    assert "did not report" in reading.why


def drafting(summary: Summary, counts: list[tuple[int, int, int]] | None, fallback: str | None = None) -> Summary:
    """The summary, whose 'fast' configuration drafted so much (drafted, accepted, rounds) for each query."""
    drafts = None
    if counts is not None:
        drafts = speculation_figures({str(n): [Drafted(*one, ("model",), fallback)] for n, one in enumerate(counts)})
    name = next(name for name in summary.configurations if name != summary.baseline)
    configurations = dict(summary.configurations)
    configurations[name] = configurations[name].model_copy(update={"speculation": drafts})
    return summary.model_copy(update={"configurations": configurations})


DRAFTS = [(100, 96, 20), (90, 85, 18), (110, 107, 22), (80, 75, 16), (100, 95, 20)]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("others.acceptance > 0.85", "passed"),
        ("others.acceptance > 85%", "passed"),
        ("others.acceptance > 0.95", "undecided"),
        ("others.acceptance < 0.85", "failed"),
        ("others.mean_accepted_length > 2", "passed"),
        ("others.mean_accepted_length > 5.8", "undecided"),
        ("others.mean_accepted_length > 6.5", "failed"),
    ],
)
def test_acceptance_is_decided_on_its_interval(tmp_path: Path, text: str, verdict: str) -> None:
    summary = drafting(summary_of(tmp_path, {"baseline": Arm(), "adaptive": Arm(draft=True)}), DRAFTS)
    result = check(summary, text)
    assert result.verdict == verdict
    (reading,) = result.readings
    assert reading.detail == "458 accepted, 480 drafted, 96 rounds"


@pytest.mark.parametrize(
    ("counts", "fallback", "says"),
    [
        (None, None, "not observable: its server tells nothing of drafts"),
        ([(0, 0, 0)] * 5, "draft: the draft model takes 9 MB", "nothing was drafted: draft: the draft model takes"),
        ([(0, 0, 0)] * 5, None, "nothing was drafted"),
        (DRAFTS[:3], None, "3 queries drafted, too few for an interval: it takes 5"),
    ],
)
@pytest.mark.parametrize("figure", ["acceptance > 0.85", "mean_accepted_length > 2"])
def test_acceptance_is_undecided_where_too_little_was_drafted(
    tmp_path: Path, counts: list[tuple[int, int, int]] | None, fallback: str | None, says: str, figure: str
) -> None:
    summary = drafting(summary_of(tmp_path, {"baseline": Arm(), "adaptive": Arm()}), counts, fallback)
    result = check(summary, f"adaptive.{figure}")
    assert (result.verdict, result.holds) == ("undecided", False)
    assert result.readings[0].why.startswith(says)


def test_alone_nothing_can_be_compared(tmp_path: Path) -> None:
    result = check(summary_of(tmp_path, {"baseline": Arm()}), "speedup > 1")
    assert (result.verdict, result.holds, result.readings) == ("undecided", False, ())
    assert "beside the baseline" in result.why


def test_equality_is_of_what_was_measured(summary: Summary) -> None:
    base = summary.configurations["baseline"]
    third = base.model_copy(update={"accuracy": Bounded(value=1 / 3, low=0.1, high=0.7, confidence=0.95, n=3)})
    changed = summary.model_copy(update={"configurations": {"baseline": third}})
    assert check(changed, "accuracy == 0.333333333").holds
    assert not check(changed, "accuracy != 0.3333333").holds


def test_unknown_configurations_are_named_with_the_nearest(summary: Summary) -> None:
    with pytest.raises(ConfigurationError, match="no configuration 'speculative-33'; did you mean 'speculative-3'"):
        check(summary, "speculative-33.accuracy == 1")
    with pytest.raises(ConfigurationError, match="'baseline' is what the others are compared with"):
        check(summary, "baseline.speedup > 1")


def test_a_configuration_that_is_named_others_goes_first(tmp_path: Path) -> None:
    arms = {"baseline": ARMS["baseline"], OTHERS: replace(Arm(), speed=2.0), "third": Arm()}
    summary = summary_of(tmp_path, arms)
    assert [one.configuration for one in check(summary, "others.accuracy == 1").readings] == [OTHERS]
    check_names(parse_gates(["others.accuracy == 1"]), ["a"], "a")


def test_the_docs_name_every_figure_and_their_gates_can_be_read() -> None:
    section = (Path(__file__).parents[2] / "docs" / "gates.md").read_text(encoding="utf-8")
    plain = [name for name in FIGURES if name.rpartition(".")[2] not in ("mean", "share") or name == "wall.mean"]
    assert not [name for name in plain if f"`{name}`" not in section]
    gates = tomllib.loads(next(line for line in section.splitlines() if line.startswith("gates = ")))["gates"]
    assert len(parse_gates([*gates, *PRESETS["interactive"]])) == 8
