"""Sums over generations: what was drafted and accepted, what it cost and what it won. Safe to read from any thread.

The speed-up is given twice. *Estimated*: what the emitted tokens would have taken at the cost of a plain round (the
lower quartile of those seen), over what they took. *Probed*: the same from whole generations, plain ones against
drafted ones, by time per token. Neither is a measurement in pairs; the bench is.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from punie_trace.speculative.costs import LowQuantile
from punie_trace.speculative.rounds import GenerationRecord


@dataclass(frozen=True, slots=True)
class MonitorSnapshot:
    """Totals so far. Times in ns, memory in bytes; rates are None where nothing was counted."""

    generations: int = 0
    rounds: int = 0
    drafting_rounds: int = 0
    drafted: int = 0
    accepted: int = 0
    emitted: int = 0
    draft_ns: int = 0
    verify_ns: int = 0
    rest_ns: int = 0
    by_position: tuple[tuple[int, int], ...] = ()
    by_drafter: dict[str, tuple[int, int]] = field(default_factory=dict)
    lengths: dict[int, int] = field(default_factory=dict)
    fallbacks: dict[str, int] = field(default_factory=dict)
    drafter_bytes: int = 0
    cache_bytes: int = 0
    speedup_estimated: float | None = None
    speedup_probed: float | None = None

    @property
    def acceptance(self) -> float | None:
        """accepted / drafted."""
        return self.accepted / self.drafted if self.drafted else None

    @property
    def mean_accepted_length(self) -> float | None:
        """1 + accepted / rounds that drafted."""
        return 1 + self.accepted / self.drafting_rounds if self.drafting_rounds else None


class Monitor:
    """Takes a record at the end of each generation; `snapshot` gives the sums."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: Counter[str] = Counter()
        self._positions: list[list[int]] = []
        self._drafters: dict[str, list[int]] = {}
        self._lengths: Counter[int] = Counter()
        self._fallbacks: Counter[str] = Counter()
        self._plain_round = LowQuantile(window=256)
        self._memory = (0, 0)
        self._whole = {True: [0, 0], False: [0, 0]}  # drafted or not: ns, tokens

    def add(self, record: GenerationRecord) -> None:
        """Count one generation."""
        with self._lock:
            self._sums.update(
                generations=1,
                rounds=len(record.rounds),
                drafting_rounds=sum(r.drafted > 0 for r in record.rounds),
                drafted=record.drafted,
                accepted=record.accepted,
                emitted=record.emitted,
                draft_ns=record.draft_ns,
                verify_ns=record.verify_ns,
                rest_ns=record.rest_ns,
            )
            self._lengths.update(record.lengths())
            if record.fallback:
                self._fallbacks[record.fallback.partition(":")[0]] += 1
            for at, (drafted, accepted) in enumerate(record.by_position()):
                if at == len(self._positions):
                    self._positions.append([0, 0])
                self._positions[at][0] += drafted
                self._positions[at][1] += accepted
            for name, (drafted, accepted) in record.by_drafter().items():
                sums = self._drafters.setdefault(name, [0, 0])
                sums[0] += drafted
                sums[1] += accepted
            for r in record.rounds:
                if not r.drafted:
                    self._plain_round.add(r.total_ns)
            whole = self._whole[record.drafted > 0]
            whole[0] += record.decode_ns
            whole[1] += record.emitted
            self._memory = (record.drafter_bytes, record.cache_bytes)

    def snapshot(self) -> MonitorSnapshot:
        """The sums so far."""
        with self._lock:
            spent = self._sums["draft_ns"] + self._sums["verify_ns"] + self._sums["rest_ns"]
            plain = self._plain_round.value
            (drafted_ns, drafted_tokens), (plain_ns, plain_tokens) = self._whole[True], self._whole[False]
            probed = None
            if drafted_tokens and plain_tokens and drafted_ns:
                probed = (plain_ns / plain_tokens) / (drafted_ns / drafted_tokens)
            return MonitorSnapshot(
                **{name: self._sums[name] for name in _SUMMED},
                by_position=tuple((a, b) for a, b in self._positions),
                by_drafter={name: (a, b) for name, (a, b) in self._drafters.items()},
                lengths=dict(sorted(self._lengths.items())),
                fallbacks=dict(self._fallbacks),
                drafter_bytes=self._memory[0],
                cache_bytes=self._memory[1],
                speedup_estimated=None if plain is None or not spent else self._sums["emitted"] * plain / spent,
                speedup_probed=probed,
            )


_SUMMED = (
    "generations",
    "rounds",
    "drafting_rounds",
    "drafted",
    "accepted",
    "emitted",
    "draft_ns",
    "verify_ns",
    "rest_ns",
)
