"""Numbers as people read them: durations, memory, shares, intervals. In ASCII, so that they can be pasted anywhere."""

from __future__ import annotations

from collections.abc import Callable

from punie_trace.runs.header import Machine


def duration(ms: float) -> str:
    """Three significant figures, in the unit that suits: '0.85 ms', '127 ms', '1.29 s', '25.3 s', '214 s'."""
    if ms < 999.5:
        return f"{_significant(ms)} ms"
    return f"{_significant(ms / 1000)} s"


def memory(count: int) -> str:
    """Bytes in binary units: '312 MiB', '20.1 GiB'."""
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"


def share(value: float) -> str:
    """A share in per cent without a fraction."""
    return f"{value:.0%}"


def number(value: float | None, digits: int) -> str:
    """A number with so many decimals, '?' where it is not known."""
    return "?" if value is None else f"{value:.{digits}f}"


def span(low: float | None, high: float | None, show: Callable[[float], str]) -> str:
    """An interval in brackets, '' where there is none; a unit that both bounds share is written once."""
    if low is None or high is None:
        return ""
    first, last = show(low), show(high)
    head, _, unit = first.partition(" ")
    if unit and last.endswith(f" {unit}"):
        first = head
    elif first.endswith("%"):
        first = first[:-1]
    return f"({first}-{last})"


def interval(low: float | None, high: float | None) -> str:
    """The interval of a ratio in brackets, '' where there is none."""
    return "" if low is None or high is None else f"({low:.2f}-{high:.2f})"


def machine(one: Machine) -> str:
    """The machine in a line, with what is known of it."""
    parts = [f"{one.os} {one.arch}", one.chip or one.cpu, f"{one.cores} cores"]
    if one.gpu_cores is not None:
        parts.append(f"{one.gpu_cores} GPU cores")
    if one.memory_bytes is not None:
        parts.append(memory(one.memory_bytes))
    if one.power is not None:
        parts.append(one.power)
    return ", ".join(parts)


def _significant(value: float) -> str:
    if value >= 99.5:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.95 else f"{value:.2f}"
