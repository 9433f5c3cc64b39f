"""What a figure is that a gate can name: its kind, how it is read from a summary, and what reading it gives.

Which there are stands in `named_figures`, and those of a session's turns in `named_turn_figures`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from punie_trace.analysis.figures import Summary

Quantity: TypeAlias = Literal["time", "memory", "share", "ratio", "count", "rate", "score"]
"""Times are in ms, memory in bytes, shares from 0 to 1, rates per second."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure as measured. `value` is None where there is none, bounds are None where there is no interval.

    `note` says why something is missing; `detail` what stands behind the value, such as '5 of 5 queries'.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NamedFigure:
    """What a name stands for.

    On `estimated` figures nothing is decided without an interval; `answered_only` ones leave queries out that ended in
    an error or a timeout; `compared` ones are relative to the baseline.
    """

    name: str
    quantity: Quantity
    meaning: str
    read: Callable[[Summary, str], Measured]
    estimated: bool = False
    answered_only: bool = False
    compared: bool = False
