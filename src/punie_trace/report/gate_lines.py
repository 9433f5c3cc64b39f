"""Gates as lines of text that read the same in a terminal, in the log of a build and in a pull request.

One line for each gate, and one for each configuration where it asked several. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from punie_trace.analysis.gates import GateResult, Reading
from punie_trace.analysis.named_figure import Quantity
from punie_trace.report.units import duration, memory, number

_LENIENT: Final = "undecided, which this gate lets pass"

_SHOWN: Final[dict[Quantity, Callable[[float], str]]] = {
    "time": duration,
    "memory": lambda value: memory(round(value)),
    "share": lambda value: f"{100 * value:.3g}%",
    "ratio": lambda value: f"{value:.2f}x",
    "count": lambda value: number(value, 0 if value == int(value) else 1),
    "rate": lambda value: number(value, 1),
    "score": lambda value: f"{value:.3g}",
}


def verdict_words(result: GateResult) -> str:
    """'passed', 'failed', or 'undecided' and what that comes to."""
    if result.verdict != "undecided":
        return result.verdict
    return _LENIENT if result.holds else "undecided, which counts as failed"


def reading_words(result: GateResult, reading: Reading) -> str:
    """What one configuration shows, with the interval and why it is not decided: '1.89x (1.74x to 2.05x)'."""
    shown = _SHOWN[result.quantity]
    parts = []
    if reading.value is not None:
        bounds = ""
        if reading.low is not None and reading.high is not None:
            bounds = f"({shown(reading.low)} to {shown(reading.high)})"
        value = f"{shown(reading.value)} {bounds}".strip()
        parts.append(f"{value}, {reading.detail}" if reading.detail else value)
    if reading.why:
        parts.append(reading.why)
    return "; ".join(parts) or reading.verdict


def gate_lines(results: Sequence[GateResult]) -> list[str]:
    """All gates, those that do not hold with the word FAILED in front, and a line that counts them."""
    lines: list[str] = []
    for result in results:
        mark = "ok    " if result.holds else "FAILED"
        head = f"{mark} {result.gate}: {verdict_words(result)}"
        if not result.readings:
            lines.append(f"{head}; {result.why}")
        elif len(result.readings) == 1:
            only = result.readings[0]
            lines.append(f"{head}; {only.configuration} {reading_words(result, only)}")
        else:
            lines.append(head)
            lines.extend(
                f"       {'-' if one.verdict == 'passed' else '!'} {one.configuration} {one.verdict}: "
                f"{reading_words(result, one)}"
                for one in result.readings
            )
    if results:
        held = sum(result.holds for result in results)
        lines.append(f"{held} of {len(results)} {'gate holds' if len(results) == 1 else 'gates hold'}")
    return lines
