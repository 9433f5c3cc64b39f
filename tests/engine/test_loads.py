"""From flags and the `[load]` table to loads and limits, and what is said of those that cannot be."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from punie_trace.driver.arrivals import Flat, Ramp, Recorded, Steps, Timed
from punie_trace.driver.schedule import ClosedLoop, OpenLoop
from punie_trace.engine.experiment import Experiment
from punie_trace.engine.loads import describe_load, levels_of, limits_of, planned_each, planned_of
from punie_trace.engine.plan import make_plan
from punie_trace.errors import ConfigurationError
from punie_trace.records import Query

URL = {"kind": "url", "url": "http://127.0.0.1:1/v1"}
QUERIES = tuple(Query(name, name) for name in "abc")


def config(load: dict[str, object] | None = None, **settings: Any) -> Experiment:
    return Experiment.merged(None, {"server": URL, "load": load or {}, **settings})


def arrivals(**load: object) -> object:
    (level,) = levels_of(config(load))
    assert isinstance(level.load, OpenLoop)
    return level.load.arrivals


def test_without_a_load_there_are_rounds_in_a_closed_loop() -> None:
    plain = config(concurrency=3)
    assert [level.load for level in levels_of(plain)] == [ClosedLoop(3)]
    assert planned_each(plain, QUERIES) == 9
    assert planned_each(plain, [*QUERIES, Query("new", "?", once=True)]) == 10
    assert describe_load(plain) is None
    assert len(list(planned_of(plain, ["x", "y"], QUERIES, 0))) == 18


def test_a_rate_is_poisson_unless_told_otherwise() -> None:
    assert arrivals(rate=2) == Timed(Flat(2), 1.0)
    assert arrivals(rate="2", arrivals="constant") == Timed(Flat(2))
    assert arrivals(rate=2, burstiness=0.5) == Timed(Flat(2), 0.5)
    assert arrivals(rate=2, arrivals="gamma", burstiness=0.5) == Timed(Flat(2), 0.5)


def test_the_form_of_a_rate_says_ramp_or_steps() -> None:
    assert arrivals(rate="1..8", duration_s=60) == Timed(Ramp(1, 8, 60))
    assert arrivals(rate="1,2,4", duration_s=60) == Timed(Steps((1, 2, 4), 20))


def test_arrivals_of_a_file_are_replayed(tmp_path: Path) -> None:
    times = tmp_path / "times.txt"
    times.write_text("\ufeff# seconds\n10.0\n10.5  # the second\n\n12\n")
    assert arrivals(replay=times) == Recorded((0, 500_000_000, 2_000_000_000))
    assert describe_load(config({"replay": times})) == "arrivals replayed from times.txt"


def test_a_sweep_makes_a_configuration_of_each_level() -> None:
    plan = make_plan(config({"sweep": "rate=0.5,2"}, configurations={"a": {}, "b": {}}))
    assert [c.name for c in plan.configurations] == ["a-rate-0.5", "b-rate-0.5", "a-rate-2", "b-rate-2"]
    assert len({c.group for c in plan.configurations}) == 1
    alone = [names for names, _ in plan.stages([c.name for c in plan.configurations])]
    assert alone == [("a-rate-0.5",), ("b-rate-0.5",), ("b-rate-2",), ("a-rate-2",)], "the order turns round"
    swept = make_plan(config({"sweep": "concurrency=1,4", "think_time_s": 1.0}))
    assert [c.load for c in swept.configurations] == [ClosedLoop(1, 1.0), ClosedLoop(4, 1.0)]


def test_the_default_keeps_all_configurations_in_one_stage() -> None:
    plan = make_plan(config(configurations={"a": {}, "b": {}}))
    assert plan.stages(["a", "b"]) == ((("a", "b"), ClosedLoop(1)),)
    assert plan.stages(["b"]) == ((("b",), ClosedLoop(1)),)
    assert plan.stages([]) == ()


def test_a_duration_or_a_number_ends_what_has_no_rounds() -> None:
    assert planned_each(config({"duration_s": 5}), QUERIES[:3]) == 0
    assert planned_each(config({"queries": 7, "rate": 1}), QUERIES[:3]) == 7
    assert planned_each(config({"rate": 1}), QUERIES[:3]) == 9
    endless = planned_of(config({"duration_s": 5}), ["x"], QUERIES, 0)
    assert len(list(islice(endless, 100))) == 100
    counted = planned_of(config({"duration_s": 5, "rate": 1}, rounds=2), ["x"], QUERIES, 0)
    assert len(list(counted)) == 6
    limits = limits_of(config({"duration_s": 5, "queries": 7, "max_error_ratio": 0.5, "rate": 1}))
    assert (limits.duration_s, limits.queries, limits.max_error_ratio) == (5, 7, 0.5)
    assert limits.stop_when_saturated
    assert not limits_of(config({"arrivals": "steps", "rate": "1,2", "duration_s": 5})).stop_when_saturated


@pytest.mark.parametrize(
    ("load", "says"),
    [
        ({"rate": 0}, "a rate of 0 queries"),
        ({"rate": -3}, "a rate of -3 queries"),
        ({"rate": math.nan}, "a rate of nan queries"),
        ({"rate": math.inf}, "a rate of inf queries"),
        ({"rate": 1e9}, "beyond what one client can send"),
        ({"rate": "fast"}, "'fast' is no number"),
        ({"rate": "1..x", "duration_s": 9}, "'x' is no number"),
        ({"rate": "1..2,3", "duration_s": 9}, "a ramp has two rates"),
        ({"rate": "5", "arrivals": "ramp", "duration_s": 9}, "goes from one rate to another"),
        ({"rate": "1..8"}, "a ramp needs --duration"),
        ({"rate": "1,2"}, "steps needs --duration"),
        ({"rate": "1,2", "arrivals": "poisson"}, "have one rate"),
        ({"arrivals": "constant"}, "needs a rate: --rate 2"),
        ({"arrivals": "replay"}, "needs --replay"),
        ({"replay": "x", "rate": 2}, "brings its own times"),
        ({"replay": "/no/such/file"}, "nothing to replay at '/no/such/file'"),
        ({"rate": 2, "arrivals": "gamma"}, "needs --burstiness"),
        ({"rate": 2, "arrivals": "constant", "burstiness": 2}, "not to constant"),
        ({"rate": 2, "burstiness": 0}, "a burstiness of 0 cannot be"),
        ({"burstiness": 2}, "add --rate"),
        ({"rate": 2, "think_time_s": 1}, "belongs to a closed loop"),
        ({"rate": 2, "drop_after_s": -1}, "drop_after_s cannot be -1"),
        ({"sweep": "rat=1,2"}, "did you mean 'rate'"),
        ({"sweep": "rate"}, "e.g. --sweep concurrency=1,2,4"),
        ({"sweep": "rate=1,,2"}, "'' is no number"),
        ({"sweep": "rate=1,1"}, "names a value twice"),
        ({"sweep": "rate=1,0"}, "a rate of 0"),
        ({"sweep": "rate=1,2", "rate": 3}, "leave --rate and --replay out"),
        ({"sweep": "concurrency=1.5"}, "a whole number from 1"),
        ({"sweep": "concurrency=0"}, "a whole number from 1"),
        ({"sweep": "concurrency=nan"}, "a whole number from 1"),
        ({"sweep": "concurrency=2", "rate": 3}, "cannot go together"),
    ],
)
def test_a_load_that_cannot_be_is_refused_in_one_line(load: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        levels_of(config(load))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("load", [{"rate": 2}, {"sweep": "concurrency=1,2"}])
def test_a_concurrency_beside_a_rate_or_its_sweep_is_refused(load: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="concurrency"):
        levels_of(config(load, concurrency=4))


@pytest.mark.parametrize(
    ("load", "says"),
    [
        ({"duration_s": 0}, "a duration"),
        ({"duration_s": 1e300}, "more than a year"),
        ({"cool_down_s": -1}, "cool_down_s"),
        ({"think_time_s": math.nan}, "think"),
        ({"think_time_s": 1e300}, "think"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(load: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        limits_of(config(load))


def test_an_unknown_key_of_the_table_names_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "load.toml"
    file.write_text("[load]\nthink_time = 2\n")
    with pytest.raises(ConfigurationError, match=r"load\.think_time: unknown key; did you mean 'think_time_s'"):
        Experiment.from_file(file)
    file.write_text("[load]\nrate = 3.5\nduration_s = 5\n")
    read = Experiment.from_file(file, load={"duration_s": 9.0, "rate": None})
    assert (read.load.rate, read.load.duration_s) == (3.5, 9.0)


@pytest.mark.parametrize(
    ("load", "says"),
    [
        ({"rate": 2.5, "duration_s": 60}, "open loop, poisson arrivals, 2.5 a second, 60 s each"),
        ({"rate": "1..8", "duration_s": 60}, "open loop, ramp arrivals, 1..8 a second, 60 s each"),
        ({"sweep": "rate=1,2", "queries": 9}, "sweep rate=1,2, open loop, poisson arrivals, at most 9 queries each"),
        ({"think_time_s": 2}, "closed loop, concurrency 1, think time 2 s"),
        ({"sweep": "concurrency=1,2"}, "sweep concurrency=1,2"),
    ],
)
def test_a_load_is_described_in_a_few_words(load: dict[str, object], says: str) -> None:
    assert describe_load(config(load)) == says


@pytest.mark.parametrize("text", ["1\nsoon\n", "1\n0.5\n", "", "1\nnan\n", "0\n1e300\n", "-1e308\n1e308\n"])
def test_times_that_cannot_be_replayed_name_the_file(tmp_path: Path, text: str) -> None:
    times = tmp_path / "times.txt"
    times.write_text(text)
    with pytest.raises(ConfigurationError, match=r"times\.txt"):
        arrivals(replay=times)
