"""Figures of one turn of sessions by the names that gates use: `turn.2.wall`, `turn.3.accuracy`. Pure.

Which turn it is stands in the name, so that these are no fixed table as the figures of whole queries are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from punie_trace.analysis.figure_kinds import Observed
from punie_trace.analysis.figures import Summary
from punie_trace.analysis.named_figure import Measured, NamedFigure, Quantity
from punie_trace.analysis.statistics import wilson
from punie_trace.analysis.turn_figures import TurnFigures

_NAME: Final = re.compile(r"turn\.([1-9][0-9]{0,3})\.([a-z_]+)")


def turn_figure(name: str) -> NamedFigure | None:
    """The figure of that name; None where it is none of a turn."""
    found = _NAME.fullmatch(name)
    if found is None or found[2] not in TURN_FIGURES:
        return None
    quantity, meaning, of = TURN_FIGURES[found[2]]
    number, estimated = int(found[1]), found[2] == "accuracy"

    def read(summary: Summary, configuration: str) -> Measured:
        turns = summary.configurations[configuration].turns
        one = next((turn for turn in turns if turn.number == number), None)
        if one is not None:
            return of(one)
        return Measured(None, note=f"no session came to turn {number}" if turns else "the suite asked no sessions")

    return NamedFigure(name, quantity, f"turn {number}: {meaning}", read, estimated, answered_only=not estimated)


def _accuracy(turn: TurnFigures) -> Measured:
    if not turn.judged:
        return Measured(None, note=f"nothing says what is right in turn {turn.number}")
    share = wilson(turn.right, turn.judged)
    return Measured(share.value, share.low, share.high, detail=f"{turn.right} of {turn.judged} sessions")


def _plain(value: float | None, note: str) -> Measured:
    return Measured(value, note="" if value is not None else note)


def _observed(seen: Observed) -> Measured:
    return Measured(seen.value, note=seen.not_observable or "")


_UNCOUNTED: Final = "the server did not always say how many tokens there were"
TURN_FIGURES: Final[dict[str, tuple[Quantity, str, Callable[[TurnFigures], Measured]]]] = {
    "wall": ("time", "median wall time", lambda turn: _plain(turn.wall_ms, "it was not answered")),
    "accuracy": ("share", "sessions in which it is right / in which it is judged", _accuracy),
    "ttft": ("time", "median time to first token where it answers first", lambda turn: _observed(turn.ttft_ms)),
    "ttft_call": ("time", "the same where it calls a tool first", lambda turn: _observed(turn.ttft_call_ms)),
    "prompt_tokens": (
        "count",
        "tokens of its first request",
        lambda turn: _plain(turn.prompt_tokens, _UNCOUNTED),
    ),
    "cached_tokens": (
        "count",
        "of these, tokens in the server's cache",
        lambda turn: _plain(turn.cached_tokens, _UNCOUNTED),
    ),
}
"""What a gate may ask of a turn, by the last word of the figure's name."""
