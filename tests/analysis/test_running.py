"""Figures while a run goes on: those of the end, of fewer answers, and how long it will take."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.analysis.running import MOST_KEPT, Counted, Pace, Remaining, Running, relative_work
from punie_trace.records import Ledger, Outcome, Query, Turn, Verdict

SECOND = 1_000_000_000


def outcome(configuration: str, query: str, wall_s: float, round_: int = 1, verdict: Verdict = Verdict.CORRECT):
    wall = round(wall_s * SECOND)
    ended = Outcome(
        seq=0, round=round_, configuration=configuration, query=query, path="agent", due_ns=0, sent_ns=0, done_ns=wall,
        verdict=verdict, error=None, trace_id="", answer="", tool_calls=(), generations=1, input_tokens=None,
        output_tokens=None, cached_tokens=None, ttft_ns=None, served_model=None,
    )  # fmt: skip
    return ended, Ledger(wall, 0, wall, 0, 0, 0)


def filled(walls: dict[str, list[float]]) -> Running:
    running = Running(walls)
    for name, seconds in walls.items():
        for number, one in enumerate(seconds):
            running.add(*outcome(name, f"q{number}", one), tells=True)
    return running


def test_intervals_shrink_as_answers_come() -> None:
    gains = [1.9, 2.0, 2.1] * 10
    widths = []
    for many in (3, 9, 30):
        figures = filled({"baseline": [4.0] * many, "fast": [4.0 / gain for gain in gains[:many]]}).figures()
        speed = figures["fast"].speed
        assert speed is not None
        assert speed.low is not None
        assert speed.high is not None
        assert speed.low < 2.0 < speed.high
        widths.append(speed.high - speed.low)
    assert widths[0] > widths[1] > widths[2]


def test_what_a_server_remembers_counts_in_the_median_and_not_in_the_speed_up() -> None:
    running = filled({"baseline": [4.0, 4.0, 4.0], "fast": [2.0, 2.0, 2.0]})
    for number in range(3):
        running.add(*outcome("fast", f"q{number}", 0.1, round_=2), tells=False)
    figures = running.figures()
    assert figures["fast"].speed is not None
    assert figures["fast"].speed.estimate == pytest.approx(2.0)
    assert figures["fast"].median_ns is not None
    assert figures["fast"].median_ns.value == pytest.approx((2.0 + 0.1) / 2 * SECOND)


def test_an_error_is_asked_and_not_right_and_gives_no_time() -> None:
    running = Running(["baseline"])
    running.add(*outcome("baseline", "q", 9.0, verdict=Verdict.ERROR), tells=True)
    figures = running.figures()["baseline"]
    assert (figures.asked, figures.right, figures.median_ns) == (1, 0, None)


def test_the_baseline_is_the_one_that_is_called_so_wherever_it_stands() -> None:
    figures = filled({"fast": [1.0], "baseline": [2.0]}).figures()
    assert figures["baseline"].speed is None
    assert figures["fast"].speed is not None
    assert figures["fast"].speed.estimate == pytest.approx(2.0)


def test_what_is_kept_has_a_limit_and_counting_goes_on() -> None:
    running = Running(["baseline"])
    for number in range(MOST_KEPT + 10):
        running.add(*outcome("baseline", f"q{number}", 1.0), tells=True)
    assert len(running.counted["baseline"].walls) == MOST_KEPT
    assert running.figures()["baseline"].asked == MOST_KEPT + 10


def counted(asked: int, wall_s: float) -> Counted:
    return Counted(asked=asked, work=asked, wall_ns=round(asked * wall_s * SECOND))


def test_the_first_reckoning_is_from_the_warm_up() -> None:
    pace = Pace({"a": 10, "b": 10})
    assert pace.remaining(0.0, {"a": Counted(), "b": Counted()}, ()) is None
    pace.warming_up(5.0, 2)
    pace.measuring(9.0)
    assert pace.remaining(9.0, {"a": Counted(), "b": Counted()}, ()) == Remaining(40.0)


def test_a_short_warm_up_and_short_questions_first_promise_no_short_run() -> None:
    queries = [Query(f"d{n}", "?", expected="direct") for n in range(2)]
    queries += [Query(f"t{n}", "?", expected="tool") for n in range(2)]
    work = relative_work(queries)
    assert work == pytest.approx({"d0": 0.4, "d1": 0.4, "t0": 1.6, "t1": 1.6})
    running, pace = Running(["a"], work), Pace({"a": 4})
    pace.warming_up(0.0, work["d0"])
    pace.measuring(1.0)  # a direct question takes a second, so that a tool question takes four
    reckoned = [pace.remaining(1.0, running.counted, ())]
    for at, (name, wall) in zip((2.0, 3.0, 7.0), (("d0", 1.0), ("d1", 1.0), ("t0", 4.0)), strict=True):
        running.add(*outcome("a", name, wall), tells=True)
        reckoned.append(pace.remaining(at, running.counted, ()))
    assert [one.seconds for one in reckoned if one is not None] == pytest.approx([10.0, 9.0, 8.0, 4.0])


def test_the_mean_of_what_is_asked_is_one_in_whatever_rounds_and_turns() -> None:
    queries = [
        Query("often", "?", expected="direct"),
        Query("new", "?", once=True),
        Query("turns", "?", turns=(Turn("a"), Turn("b"))),
    ]
    work = relative_work(queries, rounds=3)
    assert 3 * work["often"] + work["new"] + 3 * work["turns"] == pytest.approx(7)
    assert work["turns"] == pytest.approx(2 * work["new"])


def test_each_configuration_goes_on_at_its_own_pace_and_a_failed_one_not_at_all() -> None:
    pace = Pace({"slow": 10, "fast": 10})
    pace.measuring(0.0)
    so_far = {"slow": counted(5, 3.0), "fast": counted(5, 1.0)}
    both = pace.remaining(20.0, so_far, ())
    one = pace.remaining(20.0, so_far, ("slow",))
    assert both is not None
    assert one is not None
    assert both.seconds == pytest.approx(20.0)
    assert one.seconds == pytest.approx(5.0)


def test_what_is_under_way_at_once_takes_less_time() -> None:
    pace = Pace({"a": 100})
    pace.measuring(0.0)
    found = pace.remaining(10.0, {"a": counted(40, 1.0)}, ())  # 40 s of queries in 10 s
    assert found is not None
    assert found.seconds == pytest.approx(15.0)


def test_a_duration_says_how_long_it_takes_and_a_budget_how_long_at_most() -> None:
    pace = Pace({"a": 0}, seconds=60.0)
    pace.measuring(100.0)
    assert pace.remaining(115.0, {"a": counted(3, 1.0)}, ()) == Remaining(45.0)
    assert pace.remaining(500.0, {"a": counted(3, 1.0)}, ()) == Remaining(0.0)
    until = Pace({"a": 4}, at_most=True)
    until.measuring(0.0)
    assert until.remaining(2.0, {"a": counted(2, 1.0)}, ()) == Remaining(2.0, at_most=True)


def test_without_a_number_of_queries_nothing_is_promised() -> None:
    pace = Pace({"a": 0})
    pace.measuring(0.0)
    assert pace.remaining(10.0, {"a": counted(3, 1.0)}, ()) is None


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0.001, 300)), min_size=1, max_size=5), st.floats(0, 1e6))
def test_what_remains_is_never_negative_nor_endless(work: list[tuple[int, float]], now: float) -> None:
    pace = Pace({f"c{number}": 20 for number in range(len(work))})
    pace.measuring(0.0)
    found = pace.remaining(now, {f"c{n}": counted(asked, wall) for n, (asked, wall) in enumerate(work)}, ())
    assert found is None or (found.seconds >= 0 and math.isfinite(found.seconds))
