"""How much drafting may lose against plain decoding, and when a drafter that seemed not worth it is tried again.

Pure arithmetic in units of plain rounds; costs are the caller's.
"""

from __future__ import annotations

_DEBT = -2.0  # plain rounds: deeper than this the budget does not go, whatever one round cost
_SPARED = 0.05  # of what drafting gains: may be lost again later
_REFILL = 0.2  # plain rounds of that, in each plain round while the budget is low
_LOW = 1.0
_PROBE_FIRST, _PROBE_LAST = 16, 512  # rounds between probes


class RegretBudget:
    """Holds at most `most` plain rounds; gains what drafting gains and a share `loss` of all time, loses what it loses.

    While it is empty nothing is drafted, so no more than `most` rounds and that share of the time can be lost, and
    besides a twentieth of what drafting gained before, twice `most` at a time: where it has been worth much, one text
    that misled the drafters shall not cost hundreds of rounds of drafts.
    """

    def __init__(self, most: float, loss: float) -> None:
        self.most = most
        self.loss = loss
        self.left = most
        self._spared = 0.0

    def plain_round(self) -> None:
        """One plain round went by."""
        refilled = min(_REFILL, self._spared) if self.left < _LOW else 0.0
        self._spared -= refilled
        self.left = min(self.most, self.left + self.loss + refilled)

    def drafted_round(self, emitted: int, cost: float) -> float:
        """A round emitted so many tokens and cost so many plain rounds; what it gained, in plain rounds."""
        gain = emitted - cost
        self._spared = min(2 * self.most, max(0.0, self._spared + _SPARED * gain))
        self.left = max(_DEBT, min(self.most, self.left + gain + self.loss * cost))
        return gain


class Probes:
    """When to try a drafter that does not seem worth it: at intervals that double while probes fail."""

    def __init__(self) -> None:
        self._since = 0
        self._interval = _PROBE_FIRST
        self._under_way = False

    def due(self) -> bool:
        """Count a plain round; whether it is time for a probe."""
        self._since += 1
        return self._since >= self._interval

    def planned(self) -> None:
        """A probe was considered; the next comes later."""
        self._since = 0
        self._interval = min(max(2 * self._interval, _PROBE_FIRST), _PROBE_LAST)

    def begun(self) -> None:
        """The next drafted round is the probe."""
        self._under_way = True

    def ended(self, gain: float) -> None:
        """A drafted round gained so much; after a probe that did, the next comes at once."""
        if self._under_way and gain > 0:
            self._interval = 1
        self._under_way = False
