"""Figures of one turn of sessions by the names that gates use: `turn.2.wall`, `turn.3.accuracy`. Pure.

Which turn it is stands in the name, so that these are no fixed table as the figures of whole queries are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from punie_trace.analysis.figure_kinds import Observed
from punie_trace.analysis.statistics import wilson
from punie_trace.analysis.turn_figures import TurnFigures

_NAME: Final = re.compile(r"turn\.([1-9][0-9]{0,3})\.([a-z_]+)")


@dataclass(frozen=True, slots=True)
class TurnValue:
    """A turn's figure as measured: None with a `note` that says why, bounds where it has an interval."""

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TurnFigure:
    """What a name stands for; times are in ms."""

    number: int
    quantity: Literal["time", "share", "count"]
    meaning: str
    of: Callable[[TurnFigures], TurnValue]
    estimated: bool = False

    def read(self, turns: tuple[TurnFigures, ...]) -> TurnValue:
        """It in one configuration's turns."""
        one = next((turn for turn in turns if turn.number == self.number), None)
        if one is not None:
            return self.of(one)
        return TurnValue(
            None, note=f"no session came to turn {self.number}" if turns else "the suite asked no sessions"
        )


def turn_figure(name: str) -> TurnFigure | None:
    """The figure of that name; None where it is none of a turn."""
    found = _NAME.fullmatch(name)
    if found is None or found[2] not in TURN_FIGURES:
        return None
    quantity, meaning, of = TURN_FIGURES[found[2]]
    return TurnFigure(int(found[1]), quantity, f"turn {found[1]}: {meaning}", of, found[2] == "accuracy")


def _accuracy(turn: TurnFigures) -> TurnValue:
    if not turn.judged:
        return TurnValue(None, note=f"nothing says what is right in turn {turn.number}")
    share = wilson(turn.right, turn.judged)
    return TurnValue(share.value, share.low, share.high, detail=f"{turn.right} of {turn.judged} sessions")


def _plain(value: float | None, note: str) -> TurnValue:
    return TurnValue(value, note="" if value is not None else note)


def _observed(seen: Observed) -> TurnValue:
    return TurnValue(seen.value, note=seen.not_observable or "")


_UNCOUNTED: Final = "the server did not always say how many tokens there were"
TURN_FIGURES: Final[dict[str, tuple[Literal["time", "share", "count"], str, Callable[[TurnFigures], TurnValue]]]] = {
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
