"""What must hold of a run, in a line of text: `adaptive.wall.p95 < 10s`, `speedup > 1.5`, `memory.peak < 32GB`.

    [CONFIGURATION.]FIGURE OPERATOR VALUE[UNIT] [?]

Without a configuration all must hold; `others` stands for all but the baseline (a configuration that is really named
so goes first). `<`, `<=`, `>` and `>=` are decided on the figure's interval where it has one: passed or failed where
all of it lies on one side, else undecided, and so where there are too few values for an interval. Undecided counts as
failed, unless the line ends in `?`. `==` and `!=` are decided on the value as it was measured, since no interval of
more than a point can lie in one; `accuracy == 1` asks that every query was right, `accuracy > 0.9` that the interval
lies above 90 %; a query that was not judged keeps both from passing. This module reads and decides; what the figures
are stands in `named_figures`.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from punie_trace.analysis.figure_kinds import Figures
from punie_trace.analysis.figures import Summary
from punie_trace.analysis.named_figure import Measured, NamedFigure, Quantity
from punie_trace.analysis.named_figures import FIGURES, failed_queries, named_figure
from punie_trace.errors import ConfigurationError, nearest

GateVerdict: TypeAlias = Literal["passed", "failed", "undecided"]
Operator: TypeAlias = Literal["<", "<=", ">", ">=", "==", "!="]

OTHERS: Final = "others"
PRESET: Final = "preset:"
PRESETS: Final[dict[str, tuple[str, ...]]] = {
    # A local agent that feels interactive: 25 s end to end brought under 10 s, which is over 60 % of the time saved
    # (a speed-up above 2.5), with every query of the suite right, and the server on a machine of 36 GB.
    "interactive": ("wall.median < 10s", "time_saved > 60%", "accuracy == 1", "memory.peak < 32GB"),
}

MOST_FAILED: Final = 0.05
"""Share of queries in errors and timeouts beyond which no time passes: they are in no time, and may be the slow."""

UNITS: Final[dict[Quantity, dict[str, float]]] = {
    "time": {"ms": 1, "s": 1000, "min": 60_000, "us": 0.001},
    "memory": {
        **{f"{prefix}B": 1000.0**power for power, prefix in enumerate(("", "k", "M", "G", "T"))},
        **{f"{prefix}iB": 1024.0**power for power, prefix in enumerate(("K", "M", "G", "T"), start=1)},
    },
    "share": {"": 1, "%": 0.01},
    "ratio": {"": 1, "x": 1},
    "count": {"": 1},
    "rate": {"": 1},
    "score": {"": 1},
}
"""What a value of each quantity may be written in, as factors to its base (ms, bytes)."""

_EXAMPLE: Final = "write it like 'adaptive.wall.p95 < 10s', 'speedup > 1.5' or 'accuracy == 1'"
_LONGEST: Final = 300
_SHAPE: Final = re.compile(
    r"(?P<subject>[^<>=!?]+)(?P<operator><=|>=|==|!=|<|>)\s*"
    r"(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*(?P<unit>[A-Za-z%]*)\s*(?P<lenient>\??)"
)
_HOLDS: Final[dict[Operator, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Gate:
    """One line, read: `configuration` is None for all. `str` writes it so that `parse_gate` reads the same again."""

    configuration: str | None
    figure: str
    operator: Operator
    value: float
    unit: str = ""
    undecided_passes: bool = False

    @property
    def named(self) -> NamedFigure:
        """The figure that it asks about."""
        return _known(self.figure)

    @property
    def bound(self) -> float:
        """The value in the base unit of its quantity."""
        return self.value * UNITS[self.named.quantity][self.unit]

    def __str__(self) -> str:
        subject = self.figure if self.configuration is None else f"{self.configuration}.{self.figure}"
        number = repr(self.value).removesuffix(".0")
        return f"{subject} {self.operator} {number}{self.unit}{' ?' if self.undecided_passes else ''}"


class Reading(Figures):
    """What one configuration shows for a gate. Values are in the base unit of the figure's quantity."""

    configuration: str
    verdict: GateVerdict
    value: float | None
    low: float | None
    high: float | None
    detail: str
    why: str
    """Why it is undecided, or failed without a value; '' where the figure speaks for itself."""


class GateResult(Figures):
    """A gate with what was read for it. `holds` is what the exit code goes by."""

    gate: str
    quantity: Quantity
    verdict: GateVerdict
    holds: bool
    readings: tuple[Reading, ...]
    why: str = ""


def parse_gates(texts: Iterable[str]) -> tuple[Gate, ...]:
    """All gates in `texts`, presets opened. Raises `ConfigurationError` for the first that cannot be read."""
    return tuple(gate for text in texts for gate in _opened(text))


def parse_gate(text: str) -> Gate:
    """One gate, no preset. Raises `ConfigurationError` that says what is wrong with it, with the nearest known name."""
    shown = text if len(text) <= _LONGEST else f"{text[:60]}..."
    found = _SHAPE.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if found is None:
        raise ConfigurationError(f"gate {shown!r} cannot be read: {_EXAMPLE}")
    configuration, figure = _subject(shown, found["subject"].strip())
    value = float(found["number"])
    named = _known(figure)
    unit = _unit(shown, named, found["unit"])
    if not math.isfinite(value * UNITS[named.quantity][unit]):
        raise ConfigurationError(f"gate {shown!r}: {found['number']} is beyond all numbers")
    return Gate(configuration, figure, cast("Operator", found["operator"]), value, unit, found["lenient"] == "?")


def check_names(gates: Iterable[Gate], configurations: Sequence[str], baseline: str | None) -> None:
    """Raises `ConfigurationError` where a gate names a configuration that is not there, or compares the baseline."""
    for gate in gates:
        name = gate.configuration
        if name is None or (name == OTHERS and name not in configurations):
            continue
        if name not in configurations:
            raise ConfigurationError(
                f"gate {str(gate)!r}: there is no configuration {name!r}; {nearest(name, configurations)}"
            )
        if gate.named.compared and name == baseline:
            raise ConfigurationError(
                f"gate {str(gate)!r}: {name!r} is what the others are compared with; name one of them, or choose "
                "another with --baseline"
            )


def check_gates(gates: Sequence[Gate], summary: Summary) -> tuple[GateResult, ...]:
    """Each gate with its readings. Raises `ConfigurationError` as `check_names` does."""
    check_names(gates, list(summary.configurations), summary.baseline)
    return tuple(_check(gate, summary) for gate in gates)


def _opened(text: str) -> Iterator[Gate]:
    subject, found, name = text.strip().rpartition(PRESET)
    if not found or (subject and not subject.endswith(".")):
        yield parse_gate(text)
        return
    if name not in PRESETS:
        raise ConfigurationError(f"gate {text[:_LONGEST]!r}: there is no preset {name!r}; {nearest(name, PRESETS)}")
    for line in PRESETS[name]:
        yield parse_gate(f"{subject or f'{OTHERS}.'}{line}")


def _subject(shown: str, subject: str) -> tuple[str | None, str]:
    """The configuration, None for all, and the figure: names of figures may hold dots, and so may configurations'."""
    parts = subject.split(".")
    ends = [".".join(parts[start:]) for start in range(len(parts))]
    for end in ends:
        if named_figure(end) is not None:
            configuration = subject[: -len(end)].removesuffix(".").strip()
            if not configuration and end != subject:
                break
            return configuration or None, end
    closest = max(ends, key=_closeness)
    raise ConfigurationError(f"gate {shown!r}: there is no figure {closest!r}; {nearest(closest, FIGURES)}")


def _known(figure: str) -> NamedFigure:
    named = named_figure(figure)
    if named is None:
        raise ConfigurationError(f"there is no figure {figure!r}; {nearest(figure, FIGURES)}")
    return named


def _closeness(word: str) -> float:
    return max(difflib.SequenceMatcher(None, word, name).ratio() for name in FIGURES)


def _unit(shown: str, figure: NamedFigure, unit: str) -> str:
    known = {name.casefold(): name for name in UNITS[figure.quantity]}
    if unit.casefold() in known:
        return known[unit.casefold()]
    allowed = ", ".join(name or "none" for name in UNITS[figure.quantity])
    what = f"unit {unit!r} does not fit" if unit else "a unit is missing for"
    raise ConfigurationError(f"gate {shown!r}: {what} {figure.name!r} ({figure.meaning}); it takes: {allowed}")


def _check(gate: Gate, summary: Summary) -> GateResult:
    readings = tuple(_read(gate, summary, name) for name in _asked(gate, summary))
    found = {reading.verdict for reading in readings}
    why = ""
    verdict: GateVerdict = next((one for one in ("failed", "undecided", "passed") if one in found), "undecided")
    if not readings:
        why = "there is no configuration beside the baseline" if summary.configurations else "nothing was measured"
    return GateResult(
        gate=str(gate),
        quantity=gate.named.quantity,
        verdict=verdict,
        holds=verdict == "passed" or (verdict == "undecided" and gate.undecided_passes),
        readings=readings,
        why=why,
    )


def _asked(gate: Gate, summary: Summary) -> list[str]:
    names = list(summary.configurations)
    if gate.configuration in names:
        return [gate.configuration]
    if gate.configuration == OTHERS or gate.named.compared:
        return [name for name in names if name != summary.baseline]
    return names


def _read(gate: Gate, summary: Summary, name: str) -> Reading:
    figures = summary.configurations[name]
    if not figures.outcomes:
        measured = Measured(None, note="nothing was measured" + (": it failed" if figures.failure else ""))
        return _reading(name, measured, "failed", measured.note)
    measured = gate.named.read(summary, name)
    verdict, why = _decide(gate, measured)
    if verdict == "passed":
        # What was left out cannot undo a failure, but it can undo a pass.
        left_out = _left_out(gate, summary, name)
        if left_out:
            verdict, why = "undecided", left_out
    if gate.figure == "accuracy" and figures.not_judged and verdict != "failed":
        # Equality asks that all are right; of what was not judged nobody knows.
        unjudged = f"{len(figures.not_judged)} of {summary.run.queries} queries not judged"
        verdict, why = ("failed" if gate.operator == "==" else "undecided"), unjudged
    return _reading(name, measured, verdict, why)


def _reading(name: str, measured: Measured, verdict: GateVerdict, why: str) -> Reading:
    return Reading(
        configuration=name,
        verdict=verdict,
        value=measured.value,
        low=measured.low,
        high=measured.high,
        detail=measured.detail,
        why=why,
    )


def _decide(gate: Gate, measured: Measured) -> tuple[GateVerdict, str]:
    if measured.value is None:
        return "undecided", measured.note
    holds = _HOLDS[gate.operator]
    if gate.operator in ("==", "!=") or not gate.named.estimated:
        # Figures have six decimals; more of them in the gate would make equality a matter of rounding.
        return ("passed" if holds(round(measured.value, 6), round(gate.bound, 6)) else "failed"), ""
    if measured.low is None or measured.high is None:
        return "undecided", measured.note or "too few values for an interval"
    ends = {holds(measured.low, gate.bound), holds(measured.high, gate.bound)}
    if ends == {True}:
        return "passed", ""
    return ("failed", "") if ends == {False} else ("undecided", "the bound lies within the interval")


def _left_out(gate: Gate, summary: Summary, name: str) -> str:
    """Why a pass of what was measured would not be one of what was asked for; '' where it is."""
    figures = summary.configurations[name]
    if figures.failure is not None:
        return "it failed before its end"
    if figures.queries < summary.run.queries:
        return f"only {figures.queries} of {summary.run.queries} queries were asked"
    failed = failed_queries(figures)
    if gate.named.answered_only and failed > MOST_FAILED * figures.outcomes:
        return f"{failed} of {figures.outcomes} ended in an error or a timeout, and are not in this figure"
    return ""
