"""The `[load]` table and its flags: from what a person writes to the loads and limits that the driver takes.

It checks what cannot be, and says so in the words of the flags. It reads a recording to replay; it waits for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from punie_trace.driver.arrivals import MAX_SECONDS, Arrivals, Flat, Ramp, Steps, Timed, check_seconds
from punie_trace.driver.limits import Limits
from punie_trace.driver.schedule import ClosedLoop, Load, OpenLoop, Planned, plan_endless, plan_rounds
from punie_trace.engine.experiment import Experiment
from punie_trace.engine.recorded import read_arrivals
from punie_trace.engine.settings import LoadSettings
from punie_trace.errors import ConfigurationError, nearest
from punie_trace.records import Query

MAX_CONCURRENCY: Final = 1024
_SWEPT: Final = ("concurrency", "rate")


@dataclass(frozen=True, slots=True)
class Level:
    """One load that every configuration is put under. `suffix` ends its configurations' names; '' where it is alone."""

    suffix: str
    load: Load


def levels_of(experiment: Experiment) -> tuple[Level, ...]:
    """The loads of a run, one after another. Raises `ConfigurationError` for what cannot be."""
    load = experiment.load
    open_loop = load.rate is not None or load.arrivals is not None or load.replay is not None
    if load.sweep is not None:
        return tuple(_swept(experiment, load.sweep, open_loop))
    if not open_loop:
        _closed_only(load)
        return (Level("", _closed(experiment, experiment.concurrency)),)
    if "concurrency" in experiment.model_fields_set:
        raise ConfigurationError(
            "a rate says when queries come, a concurrency how many are in flight: give one of the two "
            "(max_in_flight bounds how many a rate may have in flight)"
        )
    return (Level("", _open(load, _arrivals(load), load.think_time_s)),)


def one_by_one(experiment: Experiment) -> bool:
    """Whether each configuration is measured alone, under its full load, and not interleaved with the others."""
    load = experiment.load
    return any(value is not None for value in (load.rate, load.arrivals, load.replay, load.sweep))


def limits_of(experiment: Experiment) -> Limits:
    """What ends each stage. Raises `ConfigurationError` for what is no bound."""
    load = experiment.load
    if load.duration_s is not None:
        check_seconds(load.duration_s, "a duration")
    for seconds, name in ((load.cool_down_s, "cool_down_s"), (load.think_time_s, "a think time")):
        if seconds is not None and not 0 <= seconds <= MAX_SECONDS:
            raise ConfigurationError(f"{name} cannot be {seconds:g} s: give 0 or more, and a year at most")
    return Limits(
        query_timeout_s=experiment.agent_settings.query_timeout_s,
        duration_s=load.duration_s,
        queries=load.queries,
        max_error_ratio=load.max_error_ratio,
        # A ramp or a replay may well pass what the server holds; that is then what it shows.
        stop_when_saturated=load.stop_when_saturated and load.arrivals not in ("ramp", "steps", "replay"),
        cool_down_s=load.cool_down_s,
    )


def planned_of(
    experiment: Experiment, names: list[str], queries: tuple[Query, ...], first_seq: int
) -> Iterator[Planned]:
    """The queries of one stage on the configurations `names`, endless where a limit or a recording ends it."""
    rounds = rounds_of(experiment)
    if rounds is None:
        return plan_endless(names, queries, experiment.seed, first_seq)
    if not one_by_one(experiment):
        return iter(plan_rounds(names, queries, rounds, experiment.seed, first_seq))
    return islice(plan_endless(names, queries, experiment.seed, first_seq), rounds * len(names) * len(queries))


def rounds_of(experiment: Experiment) -> int | None:
    """How many rounds there are at most; None where something else ends a stage and no number was given."""
    load = experiment.load
    other_end = load.duration_s is not None or load.queries is not None or load.replay is not None
    return None if other_end and "rounds" not in experiment.model_fields_set else experiment.rounds


def planned_each(experiment: Experiment, queries: Sequence[Query], most_rounds: int | None = None) -> int:
    """How many queries each configuration will be asked, in `most_rounds` where that many there may be; 0 where that is
    not known before.
    """
    rounds = most_rounds or rounds_of(experiment)
    if experiment.load.duration_s is not None or experiment.load.replay is not None:
        return 0
    if rounds is None:
        return experiment.load.queries if one_by_one(experiment) and experiment.load.queries is not None else 0
    new = 0 if one_by_one(experiment) else sum(query.once for query in queries)
    most = rounds * (len(queries) - new) + new
    if experiment.load.queries is None or experiment.load.queries >= most:
        return most
    return experiment.load.queries if one_by_one(experiment) else 0


def seconds_of(experiment: Experiment, configurations: int) -> float | None:
    """How long queries of so many configurations are sent in all, in s; None where no duration says so."""
    duration = experiment.load.duration_s
    if duration is None:
        return None
    return duration * configurations if one_by_one(experiment) else duration


def describe_load(experiment: Experiment) -> str | None:
    """The load in a few words, for the header of the report; None for the default, rounds in a closed loop."""
    load = experiment.load
    if load == LoadSettings():
        return None
    parts: list[str] = []
    if load.sweep is not None:
        parts.append(f"sweep {load.sweep}")
    if load.replay is not None:
        parts.append(f"arrivals replayed from {load.replay.name or load.replay}")
    elif one_by_one(experiment) and not (load.sweep or "").startswith("concurrency"):
        parts.append(f"open loop, {_kind(load)} arrivals")
        if load.rate is not None:
            parts.append(f"{load.rate} a second" if isinstance(load.rate, str) else f"{load.rate:g} a second")
        if load.burstiness is not None:
            parts.append(f"burstiness {load.burstiness:g}")
    else:
        parts += [] if load.sweep is not None else [f"closed loop, concurrency {experiment.concurrency}"]
    if load.think_time_s:
        parts.append(f"think time {load.think_time_s:g} s")
    if load.duration_s is not None:
        parts.append(f"{load.duration_s:g} s each")
    if load.queries is not None:
        parts.append(f"at most {load.queries} queries each")
    return ", ".join(parts)


def _closed(experiment: Experiment, concurrency: int) -> ClosedLoop:
    return ClosedLoop(concurrency, experiment.load.think_time_s)


def _open(load: LoadSettings, arrivals: Arrivals, think_s: float) -> OpenLoop:
    if think_s:
        raise ConfigurationError(
            "a think time belongs to a closed loop (--concurrency); with a rate, queries come when they are due"
        )
    if load.drop_after_s is not None:
        check_seconds(load.drop_after_s, "drop_after_s")
    return OpenLoop(arrivals, load.max_in_flight, load.drop_after_s)


def _closed_only(load: LoadSettings) -> None:
    if load.burstiness is not None:
        raise ConfigurationError("a burstiness says how arrivals come, and there is no rate: add --rate")


def _swept(experiment: Experiment, sweep: str, open_loop: bool) -> Iterator[Level]:
    what, equals, listed = sweep.partition("=")
    what = what.strip()
    if not equals or what not in _SWEPT:
        raise ConfigurationError(
            f"--sweep {sweep!r}: {nearest(what, _SWEPT)}; it goes over one of the two, e.g. --sweep concurrency=1,2,4 "
            "or --sweep rate=0.5,1,2"
        )
    values = _numbers(listed, f"--sweep {sweep!r}")
    if len(set(values)) < len(values):
        raise ConfigurationError(f"--sweep {sweep!r} names a value twice")
    load = experiment.load
    if what == "concurrency":
        if open_loop:
            raise ConfigurationError("--sweep concurrency=… and a rate cannot go together: sweep the rate, or drop it")
        if "concurrency" in experiment.model_fields_set:
            raise ConfigurationError("--sweep concurrency=… already says the concurrency: leave --concurrency out")
        _closed_only(load)
        for value in values:
            if value not in range(1, MAX_CONCURRENCY + 1):
                raise ConfigurationError(
                    f"--sweep {sweep!r}: a concurrency is a whole number from 1 to {MAX_CONCURRENCY}, not {value:g}"
                )
            yield Level(f"-concurrency-{value:g}", _closed(experiment, int(value)))
        return
    if load.rate is not None or load.replay is not None or load.arrivals in ("ramp", "steps", "replay"):
        raise ConfigurationError(
            "--sweep rate=… measures one rate after another: leave --rate and --replay out, and let --arrivals be "
            "constant, poisson or gamma"
        )
    for value in values:
        yield Level(f"-rate-{value:g}", _open(load, Timed(Flat(value), _burstiness(load)), load.think_time_s))


def _arrivals(load: LoadSettings) -> Arrivals:
    kind = _kind(load)
    if kind == "replay" or load.replay is not None:
        if load.replay is None:
            raise ConfigurationError("--arrivals replay needs --replay: a run's folder, or a file of seconds")
        if kind != "replay" or load.rate is not None or load.burstiness is not None:
            raise ConfigurationError("--replay brings its own times: leave --rate, --arrivals and --burstiness out")
        return read_arrivals(load.replay)
    if load.rate is None:
        raise ConfigurationError(f"--arrivals {kind} needs a rate: --rate {_EXAMPLES[kind]}")
    given = f"--rate {load.rate}"
    if kind == "ramp":
        start, dots, end = str(load.rate).partition("..")
        if not dots:
            raise ConfigurationError(f"{given}: a ramp goes from one rate to another, e.g. --rate {_EXAMPLES[kind]}")
        rates = (*_numbers(start, given), *_numbers(end, given))
        if len(rates) != 2:
            raise ConfigurationError(f"{given}: a ramp has two rates, e.g. --rate {_EXAMPLES[kind]}")
        return Timed(Ramp(rates[0], rates[1], _duration(load, "a ramp")), load.burstiness)
    numbers = _numbers(str(load.rate), given)
    if kind == "steps":
        return Timed(Steps(tuple(numbers), _duration(load, "steps") / len(numbers)), load.burstiness)
    if len(numbers) != 1:
        raise ConfigurationError(f"{given}: {kind} arrivals have one rate; --arrivals steps takes several, one by one")
    return Timed(Flat(numbers[0]), _burstiness(load))


_EXAMPLES: Final = {"constant": "2", "poisson": "2", "gamma": "2", "ramp": "1..8", "steps": "1,2,4"}


def _kind(load: LoadSettings) -> str:
    """The arrivals that were asked for, or that the rate's form asks for."""
    if load.arrivals is not None:
        return load.arrivals
    if load.replay is not None:
        return "replay"
    rate = str(load.rate)
    if ".." in rate:
        return "ramp"
    if "," in rate:
        return "steps"
    return "poisson" if load.burstiness is None else "gamma"


def _burstiness(load: LoadSettings) -> float | None:
    kind = _kind(load)
    if kind == "gamma":
        if load.burstiness is None:
            raise ConfigurationError("--arrivals gamma needs --burstiness: 1 is Poisson, less comes in bursts")
        return load.burstiness
    if load.burstiness is not None:
        raise ConfigurationError(f"--burstiness belongs to --arrivals gamma (or ramp, or steps), not to {kind}")
    return 1.0 if kind == "poisson" else None


def _duration(load: LoadSettings, what: str) -> float:
    if load.duration_s is None:
        raise ConfigurationError(f"{what} needs --duration: the seconds that it takes in all")
    check_seconds(load.duration_s, "a duration")
    return load.duration_s


def _numbers(listed: str, source: str) -> list[float]:
    numbers: list[float] = []
    for part in listed.split(","):
        try:
            numbers.append(float(part))
        except ValueError:
            raise ConfigurationError(f"{source}: {part.strip()!r} is no number") from None
    return numbers
