"""How far another host's clock is from ours, from round trips: the offset, its drift, and how sure that is. Pure.

A reading is a question that left at `sent_ns` and was answered by `back_ns`, both on our clock, with what the other
clock showed in between (`theirs_ns`). Whatever the network did, the other clock was read within that time, so

    sent_ns <= theirs_ns - offset <= back_ns,

and the offset lies within half a round trip of theirs_ns - (sent_ns + back_ns) / 2: a bound, and not a guess, however
unequal the two ways are (Cristian, 'Probabilistic clock synchronization', 1989). So of many readings those of the
smallest round trips are taken, one in each stretch of time, as NTP's clock filter does (RFC 5905, section 10).

Two clocks run at slightly different rates, so the offset is a line over time. It is fitted to the readings that were
taken (least squares, each weighted by the inverse square of its round trip). The uncertainty of the line is the most by
which the bound of a reading may lie away from it: a true line that runs through all the bounds is within that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

STRETCHES: Final = 12
"""Into how many stretches of time the readings are divided; the smallest round trip of each is taken."""
LEAST_SPAN_NS: Final = 5_000_000_000
"""Below it a drift cannot be told from the uncertainty of the readings, and none is fitted."""
MOST_DRIFT: Final = 500e-6
"""Where no drift was fitted: what the clocks of two hosts may drift apart at worst, as a share of time.

NTP slews a clock by no more than this (RFC 5905, section 12), and crystals are ten times as good.
"""
_LEAST_TRIP_NS: Final = 1_000
"""Readings of a clock are no finer than this, whatever a round trip took."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One round trip: when it left and came back on our clock, and their clock in between, in ns."""

    sent_ns: int
    back_ns: int
    theirs_ns: int

    @property
    def trip_ns(self) -> int:
        """How long it took."""
        return max(self.back_ns - self.sent_ns, _LEAST_TRIP_NS)

    @property
    def at_ns(self) -> int:
        """Its middle, on our clock."""
        return (self.sent_ns + self.back_ns) // 2

    @property
    def offset_ns(self) -> int:
        """Their clock minus ours, within half a round trip."""
        return self.theirs_ns - self.at_ns


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """Their clock minus ours, as a line over our time: `offset_ns` at `at_ns`, and `drift` ns more each ns.

    Within the time of the readings, from `first_ns` to `last_ns`, it is right within `uncertainty_ns`; outside, it may
    be wrong by `MOST_DRIFT` of the distance more, as `uncertainty_at` says.
    """

    at_ns: int
    offset_ns: int
    drift: float
    uncertainty_ns: int
    first_ns: int
    last_ns: int
    readings: int

    def offset_at(self, ours_ns: int) -> int:
        """Their clock minus ours at that time of ours, in whole ns."""
        return self.offset_ns + round(self.drift * (ours_ns - self.at_ns))

    def uncertainty_at(self, ours_ns: int) -> int:
        """How far from the truth `offset_at` may be at that time, in ns."""
        outside = max(self.first_ns - ours_ns, ours_ns - self.last_ns, 0)
        return self.uncertainty_ns + round(MOST_DRIFT * outside)

    def to_ours(self, theirs_ns: int) -> int:
        """The time on our clock at which theirs shows `theirs_ns`."""
        return theirs_ns - self.offset_of(theirs_ns)

    def offset_of(self, theirs_ns: int) -> int:
        """Their clock minus ours when theirs shows `theirs_ns`."""
        # theirs = ours + offset + drift * (ours - at), solved for ours - at in small numbers, so that no digit is lost.
        since = theirs_ns - self.at_ns - self.offset_ns
        return self.offset_ns + round(self.drift * since / (1 + self.drift))

    def to_theirs(self, ours_ns: int) -> int:
        """What their clock shows at that time of ours."""
        return ours_ns + self.offset_at(ours_ns)


SAME_CLOCK: Final = ClockOffset(0, 0, 0.0, 0, 0, 2**63 - 1, 0)
"""That of a process of this host, which reads the very clock that we read."""


def estimate(readings: Sequence[Reading]) -> ClockOffset:
    """The line through the best readings. Raises `ValueError` where there is none."""
    if not readings:
        raise ValueError("an offset between two clocks needs at least one reading of both")
    taken = _best(readings)
    first, last = min(one.sent_ns for one in taken), max(one.back_ns for one in taken)
    if last - first < LEAST_SPAN_NS or len(taken) < 2:
        best = min(taken, key=lambda one: one.trip_ns)
        reach = max(abs(best.at_ns - first), abs(last - best.at_ns))
        uncertainty = best.trip_ns // 2 + 1 + round(MOST_DRIFT * reach)
        return ClockOffset(best.at_ns, best.offset_ns, 0.0, uncertainty, first, last, len(readings))
    middle, offset, drift = _line(taken)
    line = ClockOffset(middle, offset, drift, 0, first, last, len(readings))
    worst = max(abs(one.offset_ns - line.offset_at(one.at_ns)) + (one.trip_ns + 1) // 2 for one in taken)
    return ClockOffset(middle, offset, drift, worst + 1, first, last, len(readings))


def _best(readings: Sequence[Reading]) -> list[Reading]:
    """The smallest round trip of each stretch of time, in order."""
    first, last = min(one.at_ns for one in readings), max(one.at_ns for one in readings)
    length = (last - first) // STRETCHES + 1
    found: dict[int, Reading] = {}
    for one in readings:
        stretch = (one.at_ns - first) // length
        if stretch not in found or one.trip_ns < found[stretch].trip_ns:
            found[stretch] = one
    return [found[stretch] for stretch in sorted(found)]


def _line(taken: Sequence[Reading]) -> tuple[int, int, float]:
    """A moment, the offset then, and the slope: weighted least squares around that moment and a reading's offset."""
    weights = [1.0 / one.trip_ns**2 for one in taken]
    base_at, base_offset = taken[0].at_ns, taken[0].offset_ns
    times = [float(one.at_ns - base_at) for one in taken]
    offsets = [float(one.offset_ns - base_offset) for one in taken]
    total = sum(weights)
    time = sum(weight * at for weight, at in zip(weights, times, strict=True)) / total
    offset = sum(weight * value for weight, value in zip(weights, offsets, strict=True)) / total
    spread = sum(weight * (at - time) ** 2 for weight, at in zip(weights, times, strict=True))
    common = sum(
        weight * (at - time) * (value - offset) for weight, at, value in zip(weights, times, offsets, strict=True)
    )
    drift = common / spread if spread > 0 else 0.0
    middle = base_at + round(time)
    return middle, base_offset + round(offset + drift * (middle - base_at - time)), drift
