from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.analysis.energy import OVERLAP, EnergyFigures, energy_by_configuration
from punie_trace.records import EnergySample, Outcome, Verdict

S = 1_000_000_000


def outcome(name: str, begin: float, end: float, *, right: bool = True, tokens: int | None = 100) -> Outcome:
    return Outcome(
        seq=0, round=0, configuration=name, query="q", path="http", due_ns=int(begin * S), sent_ns=int(begin * S),
        done_ns=int(end * S), verdict=Verdict.CORRECT if right else Verdict.WRONG_ANSWER, error=None, trace_id="0",
        answer="", tool_calls=(), generations=1, input_tokens=1, output_tokens=tokens, cached_tokens=None, ttft_ns=None,
        served_model=None,
    )  # fmt: skip


def steady(watts: float, seconds: int, *, gpu: float | None = None) -> list[EnergySample]:
    return [EnergySample(n * S, 1000 + watts * n, watts, gpu) for n in range(seconds + 1)]


def figures(found: dict[str, EnergyFigures] | str, name: str) -> EnergyFigures:
    assert not isinstance(found, str)
    return found[name]


@given(watts=st.floats(1, 500), begin=st.floats(0, 4), length=st.floats(0.01, 5))
def test_at_steady_power_a_querys_energy_is_power_times_time(watts: float, begin: float, length: float) -> None:
    found = figures(energy_by_configuration([outcome("a", begin, begin + length)], steady(watts, 10)), "a")
    assert found.joules == pytest.approx(watts * length, rel=1e-6)
    assert found.watts == pytest.approx(watts, rel=1e-6)


def test_planted_energy_is_recovered_by_right_answer_and_by_tokens() -> None:
    asked = [outcome("a", 0, 2), outcome("b", 2, 6), outcome("a", 6, 8, right=False)]
    found = energy_by_configuration(asked, steady(10, 8, gpu=0.9))
    assert figures(found, "a").joules == pytest.approx(40)
    assert figures(found, "a").per_right_answer == pytest.approx(40)
    assert figures(found, "a").per_1000_output_tokens == pytest.approx(200)
    assert figures(found, "b").per_right_answer == pytest.approx(40)
    assert figures(found, "b").gpu_utilization == pytest.approx(0.9)


def test_queries_at_the_same_time_use_their_energy_once() -> None:
    found = energy_by_configuration([outcome("a", 0, 4), outcome("a", 1, 3)], steady(10, 8))
    assert figures(found, "a").joules == pytest.approx(40)


def test_configurations_that_overlap_are_not_observable() -> None:
    assert energy_by_configuration([outcome("a", 0, 4), outcome("b", 3, 5)], steady(10, 8)) == OVERLAP


def test_without_a_right_answer_or_tokens_there_is_no_such_figure() -> None:
    found = figures(energy_by_configuration([outcome("a", 0, 4, right=False, tokens=None)], steady(10, 8)), "a")
    assert found.per_right_answer is None
    assert found.per_1000_output_tokens is None
    assert found.gpu_utilization is None


def test_queries_outside_of_the_samples_do_not_count() -> None:
    found = energy_by_configuration([outcome("a", 0, 4), outcome("a", 7, 9)], steady(10, 8))
    assert figures(found, "a").queries == 1


def test_without_samples_it_says_why() -> None:
    assert "energy" in str(energy_by_configuration([outcome("a", 0, 4)], []))
