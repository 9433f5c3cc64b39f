"""When queries come, in an open loop: a schedule is a question ('when is arrival n due?') with a table of answers.

Pure: no clock, no waiting, no file. An answer is an offset in integer ns after the start. A profile says how many
arrivals are expected by when, a spacing says how regularly they come, and the due time of an arrival is the moment by
which the profile expects as many arrivals as the spacing has counted (a renewal process under a change of time, as in
Daley and Vere-Jones, 'An Introduction to the Theory of Point Processes', chapter 7):

| arrivals   | expected by t                     | spacing                                                             |
|------------|-----------------------------------|---------------------------------------------------------------------|
| constant   | rate * t                          | even                                                                |
| poisson    | rate * t                          | exponential gaps: independent users                                 |
| gamma      | rate * t                          | gaps of a gamma distribution; its shape is the burstiness           |
| ramp       | integral of a rate that changes   | even, or random where a burstiness is given                         |
|            | evenly, then stays                |                                                                     |
| steps      | one rate after another, the last  | even, or random where a burstiness is given                         |
|            | one stays                         |                                                                     |
| replay     | as recorded                       | as recorded; it ends with the recording                             |

Burstiness 1 is Poisson, below 1 comes in bursts (variance of the gaps is 1 / burstiness of their squared mean), far
above 1 is nearly even. Even targets are computed from the index and never from the one before, so nothing adds up.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, count
from typing import Final, Protocol, TypeAlias

from punie_trace.errors import ConfigurationError

MAX_RATE: Final = 10_000.0
MAX_SECONDS: Final = 366 * 86_400.0
"""A year: what is longer was not meant in seconds."""
"""Queries a second beyond which one client process cannot send, whatever it is told."""
MIN_BURSTINESS: Final = 0.01
NS_PER_S: Final = 1e9


class Profile(Protocol):
    """How many arrivals are expected by when."""

    def seconds_until(self, expected: float) -> float | None:
        """Seconds after the start by which `expected` arrivals are expected; None where that never comes."""
        ...


@dataclass(frozen=True, slots=True)
class Flat:
    """`rate` arrivals a second, for ever."""

    rate: float

    def __post_init__(self) -> None:
        check_rate(self.rate)

    def seconds_until(self, expected: float) -> float | None:
        """As `Profile`."""
        return expected / self.rate


@dataclass(frozen=True, slots=True)
class Ramp:
    """From `start` to `end` arrivals a second, changing evenly over `over_s` seconds, then `end` for ever."""

    start: float
    end: float
    over_s: float

    def __post_init__(self) -> None:
        # One end may be 0, as a ramp from nothing is what people mean by one.
        for rate in (self.start, self.end):
            if rate != 0 or self.start == self.end:
                check_rate(rate)
        check_seconds(self.over_s, "the time of a ramp")

    def seconds_until(self, expected: float) -> float | None:
        """As `Profile`: the root of start * t + slope / 2 * t ** 2 = expected, in its stable form."""
        whole = (self.start + self.end) / 2 * self.over_s
        if expected > whole or (expected == whole and self.end > 0):
            return self.over_s + (expected - whole) / self.end if self.end > 0 else None
        if expected <= 0:
            return 0.0
        slope = (self.end - self.start) / self.over_s
        rate = self.start + math.sqrt(max(self.start**2 + 2 * slope * expected, 0.0))
        return 2 * expected / rate if rate > 0 else 0.0  # 0: too few expected for a product with the slope


@dataclass(frozen=True, slots=True)
class Steps:
    """Each of `rates` for `each_s` seconds, one after another; the last one for ever."""

    rates: tuple[float, ...]
    each_s: float

    def __post_init__(self) -> None:
        if not self.rates:
            raise ConfigurationError("steps need at least one rate, e.g. --rate 1,2,4")
        for rate in self.rates:
            check_rate(rate)
        check_seconds(self.each_s, "the time of a step")

    def seconds_until(self, expected: float) -> float | None:
        """As `Profile`."""
        begun, left = 0.0, expected
        for rate in self.rates[:-1]:
            if left < rate * self.each_s:
                return begun + left / rate
            begun += self.each_s
            left -= rate * self.each_s
        return begun + left / self.rates[-1]


@dataclass(frozen=True, slots=True)
class Timed:
    """Arrivals of a profile. `burstiness` is the shape of the gamma distribution of the gaps; None spaces evenly."""

    profile: Flat | Ramp | Steps
    burstiness: float | None = None

    def __post_init__(self) -> None:
        if self.burstiness is not None and not (math.isfinite(self.burstiness) and self.burstiness >= MIN_BURSTINESS):
            raise ConfigurationError(
                f"a burstiness of {self.burstiness:g} cannot be: it is a number from {MIN_BURSTINESS:g}; 1 is Poisson, "
                "less comes in bursts, more is more even"
            )


@dataclass(frozen=True, slots=True)
class Recorded:
    """Arrivals at `offsets_ns` after the start, in order; see `recorded`."""

    offsets_ns: tuple[int, ...]


Arrivals: TypeAlias = Timed | Recorded


def due_offsets(arrivals: Arrivals, seed: int) -> Iterator[int]:
    """The due time of each arrival in turn, in ns after the start, never going back; endless but for what is replayed.

    The same seed gives the same times. Nothing is kept, so an endless schedule costs no memory.
    """
    if isinstance(arrivals, Recorded):
        yield from arrivals.offsets_ns
        return
    for expected in _expected(arrivals.burstiness, seed):
        seconds = arrivals.profile.seconds_until(expected)
        if seconds is None:
            return
        yield round(seconds * NS_PER_S)


def _expected(burstiness: float | None, seed: int) -> Iterator[float]:
    """How many arrivals the profile must expect for each arrival to be due: 0, 1, 2 … where they are even."""
    if burstiness is None:
        return (float(number) for number in count())
    generator = seeded(seed, "arrivals")
    if burstiness == 1.0:
        return accumulate(generator.expovariate(1.0) for _ in count())
    return accumulate(generator.gammavariate(burstiness, 1 / burstiness) for _ in count())


def recorded(offsets_s: Sequence[float], source: str) -> Recorded:
    """Arrivals at these seconds, counted from the first one. Raises `ConfigurationError` that names `source`."""
    if not offsets_s:
        raise ConfigurationError(f"{source} holds no arrivals to replay")
    for number, (before, after) in enumerate(zip([offsets_s[0], *offsets_s], offsets_s, strict=False), start=1):
        if not math.isfinite(after):
            raise ConfigurationError(f"{source}: arrival {number} is at {after:g} s, which is no time")
        if after - offsets_s[0] > MAX_SECONDS:
            raise ConfigurationError(
                f"{source}: arrival {number} is {after - offsets_s[0]:g} s after the first, which is more than a year; "
                "are these seconds?"
            )
        if after < before:
            raise ConfigurationError(
                f"{source}: arrival {number} is at {after:g} s, before the one above it at {before:g} s; "
                "arrivals are listed in order"
            )
    return Recorded(tuple(round((at - offsets_s[0]) * NS_PER_S) for at in offsets_s))


def seeded(seed: int, purpose: str) -> random.Random:
    """The generator behind everything random in a schedule: the same seed and purpose give the same numbers."""
    return random.Random(f"{purpose} {seed}")


def check_rate(rate: float) -> None:
    """Raises `ConfigurationError` for what is no rate of arrivals, or one that no client could send."""
    if not math.isfinite(rate) or rate <= 0:
        raise ConfigurationError(f"a rate of {rate:g} queries a second cannot be: give a number above 0, e.g. --rate 2")
    if rate > MAX_RATE:
        raise ConfigurationError(
            f"a rate of {rate:g} queries a second is beyond what one client can send (at most {MAX_RATE:g})"
        )


def check_seconds(seconds: float, what: str) -> None:
    """Raises `ConfigurationError` for what is no length of time."""
    if not math.isfinite(seconds) or seconds <= 0:
        raise ConfigurationError(f"{what} cannot be {seconds:g} s: give a number above 0")
    if seconds > MAX_SECONDS:
        raise ConfigurationError(f"{what} cannot be {seconds:g} s, which is more than a year")
