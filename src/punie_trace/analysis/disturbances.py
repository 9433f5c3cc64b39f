"""Which rounds something else disturbed: other load, swapping, memory pressure, a machine that slowed itself down.

Pure, from the samples that were taken while the run went on. A disturbed round falls on all configurations alike where
they take turns, so that it costs precision rather than fairness; it is said, and can be asked again.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final

from punie_trace.records import MachineSample, Outcome

MOST_OTHER_CPU: Final = 0.10
"""Share of the machine's cores that other processes may take while a round goes on."""
MOST_SWAPPED: Final = 16 * 2**20
"""Bytes that may go to or come from the swap space during a round."""
MOST_PRESSURE: Final = 0.10
"""Share of time in which something may wait for memory."""


def round_spans(outcomes: Iterable[Outcome]) -> dict[int, tuple[int, int]]:
    """From when to when each round went, in ns on the run's clock."""
    spans: dict[int, tuple[int, int]] = {}
    for outcome in outcomes:
        begin, end = spans.get(outcome.round, (outcome.due_ns, outcome.done_ns))
        spans[outcome.round] = min(begin, outcome.due_ns), max(end, outcome.done_ns)
    return spans


def disturbed(spans: Mapping[int, tuple[int, int]], samples: Sequence[MachineSample]) -> dict[int, tuple[str, ...]]:
    """The rounds that were disturbed, each with what disturbed it. A round that no sample saw is not among them."""
    ordered = sorted(samples, key=lambda one: one.start_ns)
    starts = [one.start_ns for one in ordered]
    ended = list(accumulate((one.end_ns for one in ordered), max))
    known: dict[tuple[int, ...], tuple[str, ...]] = {}  # many short rounds are seen by the same samples
    found = {}
    for number, (begin, end) in sorted(spans.items()):
        near = range(bisect_right(ended, begin), bisect_left(starts, end))
        seen = tuple(place for place in near if ordered[place].end_ns > begin)
        if seen not in known:
            known[seen] = _reasons([ordered[place] for place in seen])
        if known[seen]:
            found[number] = known[seen]
    return found


def disturbance_finding(found: Mapping[int, Sequence[str]], rounds: int, *, repeatable: bool = True) -> str | None:
    """What to say of them; None where there is nothing to say. Under a load of its own no round can be repeated."""
    if not found:
        return None
    which = f"all {rounds} rounds were" if len(found) >= rounds > 1 else f"{_numbers(list(found))} disturbed"
    which = which if which.endswith("disturbed") else f"{which} disturbed"
    worst = next(iter(found.values()))
    same = all(tuple(reasons) == tuple(worst) for reasons in found.values())
    what = "; ".join(worst) if same else "; ".join(f"round {number}: {'; '.join(one)}" for number, one in _few(found))
    remedy = "--repeat-contaminated asks such rounds again" if repeatable else "use a machine that does nothing else"
    return f"{which} by something else ({what}): times vary more for it; {remedy}"


def _few(found: Mapping[int, Sequence[str]]) -> list[tuple[int, Sequence[str]]]:
    return list(found.items())[:3]


def _numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:6]) + (", ..." if len(numbers) > 6 else "")
    return f"round {shown} was" if len(numbers) == 1 else f"rounds {shown} were"


def _reasons(samples: Sequence[MachineSample]) -> tuple[str, ...]:
    reasons = []
    load = _mean_load(samples)
    if load is not None and load > MOST_OTHER_CPU:
        reasons.append(f"other processes took {load:.0%} of the machine's cores")
    swapped = sum(one.swapped_bytes or 0 for one in samples)
    if swapped > MOST_SWAPPED:
        reasons.append(f"{swapped / 2**20:.0f} MiB were swapped")
    pressure = max((one.memory_pressure or 0.0 for one in samples), default=0.0)
    if pressure > MOST_PRESSURE:
        reasons.append(f"memory was short (something waited for it {pressure:.0%} of the time)")
    if any(one.memory_warning for one in samples):
        reasons.append(
            f"memory was short (the system said {next(o.memory_warning for o in samples if o.memory_warning)!r})"
        )
    if any(one.throttled for one in samples):
        state = next((one.thermal for one in samples if one.throttled and one.thermal), None)
        reasons.append("the machine slowed itself down" + (f" (thermal state {state!r})" if state else ""))
    return tuple(reasons)


def _mean_load(samples: Sequence[MachineSample]) -> float | None:
    """By time, over the samples that tell."""
    known = [(one.other_cpu, one.end_ns - one.start_ns) for one in samples if one.other_cpu is not None]
    time = sum(length for _, length in known)
    return sum(load * length for load, length in known) / time if time else None
