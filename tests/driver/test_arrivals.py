"""Due times: what the table promises, over an hour's worth and under any seed."""

from __future__ import annotations

import math
from itertools import islice, pairwise, takewhile

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from punie_trace.driver.arrivals import (
    MAX_RATE,
    Flat,
    Profile,
    Ramp,
    Recorded,
    Steps,
    Timed,
    due_offsets,
    recorded,
    seeded,
)
from punie_trace.errors import ConfigurationError

S = 1_000_000_000
RATES = st.floats(0.01, 1000.0)
SPANS = st.floats(0.1, 1000.0)
PROFILES: st.SearchStrategy[Flat | Ramp | Steps] = st.one_of(
    st.builds(Flat, RATES),
    st.builds(Ramp, RATES | st.just(0.0), RATES, SPANS),
    st.builds(Steps, st.lists(RATES, min_size=1, max_size=5).map(tuple), SPANS),
)


def first(arrivals: Timed | Recorded, many: int, seed: int = 0) -> list[int]:
    return list(islice(due_offsets(arrivals, seed), many))


def counts(arrivals: Timed, windows: int, seed: int) -> list[int]:
    """How many arrivals fall into each of so many windows of a second."""
    found = [0] * windows
    for due in takewhile(lambda due: due < windows * S, due_offsets(arrivals, seed)):
        found[due // S] += 1
    return found


def dispersion(values: list[int]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1) / mean


@pytest.mark.parametrize("rate", [0.3, 3.0, 7.0, 40.0, 333.3])
def test_constant_arrivals_do_not_drift_over_an_hour(rate: float) -> None:
    for number, due in enumerate(islice(due_offsets(Timed(Flat(rate)), 0), int(rate * 3600) + 1)):
        assert abs(due - number * S / rate) <= 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_poisson_counts_vary_as_much_as_their_mean(seed: int) -> None:
    # The standard error of the index over 20,000 windows is 1 %.
    found = counts(Timed(Flat(4.0), burstiness=1.0), 20_000, seed)
    assert dispersion(found) == pytest.approx(1.0, abs=0.05)
    assert sum(found) / len(found) == pytest.approx(4.0, rel=0.02)


@pytest.mark.parametrize("burstiness", [0.25, 1.0, 4.0])
def test_gaps_have_the_variance_that_burstiness_says(burstiness: float) -> None:
    gaps = [b - a for a, b in pairwise(first(Timed(Flat(10.0), burstiness), 100_000))]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert mean == pytest.approx(S / 10, rel=0.03)
    assert variance / mean**2 == pytest.approx(1 / burstiness, rel=0.1)


@settings(deadline=None)
@given(PROFILES, st.none() | st.floats(0.1, 10.0), st.integers(0, 2**31))
def test_times_never_go_back_and_the_seed_fixes_them(
    profile: Flat | Ramp | Steps, burstiness: float | None, seed: int
) -> None:
    arrivals = Timed(profile, burstiness)
    found = first(arrivals, 200, seed)
    assert found == sorted(found)
    assert found[0] >= 0
    assert found == first(arrivals, 200, seed)


def expected_by(profile: Profile, seconds: float) -> float:
    """The count that a profile expects by then, straight from the rate that it says."""
    match profile:
        case Ramp(start, end, over_s):
            within = min(seconds, over_s)
            return (start + (end - start) * within / over_s / 2) * within + max(0.0, seconds - over_s) * end
        case Steps(rates, each_s):
            whole = min(int(seconds // each_s), len(rates) - 1)
            return sum(rates[:whole]) * each_s + (seconds - whole * each_s) * rates[whole]
        case Flat(rate):
            return rate * seconds
    raise AssertionError(profile)


@settings(deadline=None)
@given(PROFILES, st.floats(0.0, 5000.0))
@example(Ramp(0.0, 1.0, 4.0), 5e-324)
def test_a_profile_expects_by_a_time_what_its_rate_adds_up_to(profile: Flat | Ramp | Steps, expected: float) -> None:
    seconds = profile.seconds_until(expected)
    assert seconds is not None
    assume(seconds < 1e6)
    assert expected_by(profile, seconds) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_a_ramp_to_nothing_ends() -> None:
    found = list(due_offsets(Timed(Ramp(10.0, 0.0, 2.0)), 0))
    assert len(found) == 11
    assert found[-1] <= 2 * S


def test_a_ramp_goes_on_at_its_end() -> None:
    found = first(Timed(Ramp(0.0, 10.0, 4.0)), 60)
    assert [b - a for a, b in pairwise(found)][-5:] == pytest.approx([S / 10] * 5)


def test_steps_change_when_they_say() -> None:
    found = counts(Timed(Steps((1.0, 3.0, 2.0), 2.0)), 8, seed=0)
    assert found == [1, 1, 3, 3, 2, 2, 2, 2]


def test_replay_counts_from_the_first_arrival_and_ends() -> None:
    assert list(due_offsets(recorded([5.0, 5.5, 5.5, 7.0], "a file"), 0)) == [0, S // 2, S // 2, 2 * S]


@pytest.mark.parametrize(
    ("offsets", "says"),
    [
        ([], "holds no arrivals"),
        ([0.0, 2.0, 1.0], "arrival 3 is at 1 s, before"),
        ([0.0, math.nan], "arrival 2 is at nan s"),
        ([math.inf], "arrival 1 is at inf s"),
    ],
)
def test_what_cannot_be_replayed_is_named(offsets: list[float], says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^times.txt.*{says}"):
        recorded(offsets, "times.txt")


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_what_is_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(ConfigurationError, match="give a number above 0"):
        Flat(rate)
    with pytest.raises(ConfigurationError, match="give a number above 0"):
        Steps((1.0, rate), 1.0)
    if rate != 0:
        with pytest.raises(ConfigurationError, match="give a number above 0"):
            Ramp(1.0, rate, 1.0)


def test_what_no_client_can_send_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at most 10000"):
        Flat(MAX_RATE * 1.01)


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_length_of_time_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="give a number above 0"):
        Ramp(1.0, 2.0, seconds)
    with pytest.raises(ConfigurationError, match="give a number above 0"):
        Steps((1.0,), seconds)


def test_a_ramp_from_nothing_to_nothing_and_no_steps_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="above 0"):
        Ramp(0.0, 0.0, 1.0)
    with pytest.raises(ConfigurationError, match="at least one rate"):
        Steps((), 1.0)


@pytest.mark.parametrize("burstiness", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_burstiness_is_refused(burstiness: float) -> None:
    with pytest.raises(ConfigurationError, match="1 is Poisson"):
        Timed(Flat(1.0), burstiness)


def test_purposes_of_one_seed_are_independent() -> None:
    assert seeded(1, "arrivals").random() == seeded(1, "arrivals").random()
    assert seeded(1, "arrivals").random() != seeded(1, "order").random()
