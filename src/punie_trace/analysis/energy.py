"""What a configuration's answers cost in energy, from readings of the whole machine's counters.

A query's energy is what the counters rose by between the moment it was sent and the moment it was done, read between
two samples by straight line. It holds what else ran on the machine meanwhile, and idle power. Where queries of two
configurations overlap, the counters cannot be told apart, and nothing is said. Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from punie_trace.records import EnergySample, Outcome, Verdict

OVERLAP = "queries of several configurations ran at the same time, and the counters are the whole machine's"


@dataclass(frozen=True, slots=True)
class EnergyFigures:
    """Energy of one configuration's queries, in joules; `gpu_utilization` is 0 to 1, the mean while they ran.

    None is 'not observable', or no such answer; `queries` is how many lay within the samples.
    """

    queries: int
    joules: float
    seconds: float
    per_right_answer: float | None
    per_1000_output_tokens: float | None
    gpu_utilization: float | None
    gpu_memory_bytes: int | None

    @property
    def watts(self) -> float | None:
        """Mean power while its queries ran."""
        return self.joules / self.seconds if self.seconds else None


def energy_by_configuration(
    outcomes: Iterable[Outcome], samples: Sequence[EnergySample]
) -> dict[str, EnergyFigures] | str:
    """Figures by configuration; a text that says why where they are not observable."""
    if len(samples) < 2:
        return "nothing on this machine told its energy (see the extra 'energy')"
    ordered = sorted(samples, key=lambda sample: sample.at_ns)
    by_name: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if ordered[0].at_ns <= outcome.sent_ns and outcome.done_ns <= ordered[-1].at_ns:
            by_name.setdefault(outcome.configuration, []).append(outcome)
    if _overlap(by_name):
        return OVERLAP
    return {name: _figures(mine, ordered) for name, mine in by_name.items()}


def _figures(outcomes: Sequence[Outcome], samples: Sequence[EnergySample]) -> EnergyFigures:
    times = [sample.at_ns for sample in samples]
    spans = _union((outcome.sent_ns, outcome.done_ns) for outcome in outcomes)
    joules = sum(_joules_at(end, times, samples) - _joules_at(begin, times, samples) for begin, end in spans)
    seconds = sum(end - begin for begin, end in spans) / 1e9
    right = sum(outcome.verdict is Verdict.CORRECT for outcome in outcomes)
    tokens = [outcome.output_tokens for outcome in outcomes]
    written = sum(count for count in tokens if count is not None) if None not in tokens else 0
    while_asked = [sample for begin, end in spans for sample in _within(begin, end, times, samples)]
    used = [sample.gpu_utilization for sample in while_asked if sample.gpu_utilization is not None]
    held = [sample.gpu_memory_bytes for sample in while_asked if sample.gpu_memory_bytes is not None]
    return EnergyFigures(
        queries=len(outcomes),
        joules=joules,
        seconds=seconds,
        per_right_answer=joules / right if right else None,
        per_1000_output_tokens=joules / written * 1000 if written else None,
        gpu_utilization=sum(used) / len(used) if used else None,
        gpu_memory_bytes=max(held, default=None),
    )


def _union(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans without overlaps: what runs at the same time uses its energy once."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((begin, end))
    return joined


def _overlap(by_name: Mapping[str, Sequence[Outcome]]) -> bool:
    spans = sorted(
        (begin, end, name)
        for name, outcomes in by_name.items()
        for begin, end in _union((outcome.sent_ns, outcome.done_ns) for outcome in outcomes)
    )
    return any(before[1] > after[0] for before, after in pairwise(spans))


def _joules_at(at_ns: int, times: Sequence[int], samples: Sequence[EnergySample]) -> float:
    """The counters at a moment within the samples, by straight line between the two beside it."""
    place = min(max(bisect_right(times, at_ns), 1), len(times) - 1)
    before, after = samples[place - 1], samples[place]
    passed = after.at_ns - before.at_ns
    return before.joules + (after.joules - before.joules) * ((at_ns - before.at_ns) / passed if passed else 0.0)


def _within(begin: int, end: int, times: Sequence[int], samples: Sequence[EnergySample]) -> Sequence[EnergySample]:
    return samples[bisect_right(times, begin) : bisect_right(times, end)]
