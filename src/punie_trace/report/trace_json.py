"""The spans of one query for the viewers that people have: speedscope, and Perfetto or Chrome's tracing.

Both draw what nests; spans that overlap without nesting (tools in parallel) get lanes of their own. Times are in us
since the query was due. Texts are JSON strings and nothing else; the viewers show them as text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from punie_trace.analysis.waterfall import Bar, waterfall
from punie_trace.errors import ConfigurationError, nearest
from punie_trace.records import JsonValue, Outcome
from punie_trace.runs.header import unique
from punie_trace.runs.reader import RunRecord

NS_PER_US: Final = 1000
_SPEEDSCOPE: Final = "https://www.speedscope.app/file-format-schema.json"


def choose(
    run: RunRecord, query: str | None = None, configuration: str | None = None, round_: int | None = None
) -> Outcome:
    """The slowest outcome that fits and has spans. Raises `ConfigurationError` where none does."""
    for word, asked, known in (
        ("--query", query, unique(one.query for one in run.outcomes)),
        ("--configuration", configuration, unique(one.configuration for one in run.outcomes)),
    ):
        if asked is not None and asked not in known:
            raise ConfigurationError(f"{word}: the run has no {asked!r}; {nearest(asked, known)}")
    fitting = [
        one
        for one in run.outcomes
        if query in (None, one.query)
        and configuration in (None, one.configuration)
        and round_ in (None, one.round)
        and one.trace_id in run.traces
    ]
    if not fitting:
        raise ConfigurationError(f"{run.folder}: no query that fits has spans: there is no trace to show")
    return max(fitting, key=lambda one: (one.wall_ns, -one.seq))


def perfetto_text(run: RunRecord, outcome: Outcome) -> str:
    """Chrome's trace event format, which ui.perfetto.dev opens: complete events ('X') on a thread for each lane."""
    events: list[JsonValue] = [
        {"ph": "M", "pid": 1, "name": "process_name", "args": {"name": _title(outcome)}},
    ]
    laid = lanes(_bars(run, outcome))
    for lane, bars in enumerate(laid, start=1):
        name = "query" if lane == 1 else f"in parallel {lane - 1}"
        events.append({"ph": "M", "pid": 1, "tid": lane, "name": "thread_name", "args": {"name": name}})
        for bar in bars:
            args: dict[str, JsonValue] = {"segment": bar.segment}
            if bar.error is not None:
                args["error"] = bar.error
            events.append(
                {
                    "ph": "X",
                    "pid": 1,
                    "tid": lane,
                    "name": bar.name,
                    "cat": bar.segment,
                    "ts": (bar.start_ns - outcome.due_ns) / NS_PER_US,
                    "dur": (bar.end_ns - bar.start_ns) / NS_PER_US,
                    "args": args,
                }
            )
            events.extend(
                {"ph": "i", "s": "t", "pid": 1, "tid": lane, "name": mark, "ts": (at - outcome.due_ns) / NS_PER_US}
                for mark, at in bar.marks
            )
    return json.dumps({"displayTimeUnit": "ms", "traceEvents": events}, allow_nan=False) + "\n"


def speedscope_text(run: RunRecord, outcome: Outcome) -> str:
    """speedscope's own format: an evented profile for each lane."""
    frames: dict[str, int] = {}
    profiles: list[JsonValue] = []
    for number, bars in enumerate(lanes(_bars(run, outcome)), start=1):
        events: list[JsonValue] = []
        open_: list[tuple[int, int]] = []  # frame and end

        def close(until: int, events: list[JsonValue] = events, open_: list[tuple[int, int]] = open_) -> None:
            while open_ and open_[-1][1] <= until:
                frame, end = open_.pop()
                events.append({"type": "C", "frame": frame, "at": (end - outcome.due_ns) / NS_PER_US})

        for bar in bars:
            close(bar.start_ns)
            frame = frames.setdefault(bar.name, len(frames))
            events.append({"type": "O", "frame": frame, "at": (bar.start_ns - outcome.due_ns) / NS_PER_US})
            open_.append((frame, bar.end_ns))
        close(max((bar.end_ns for bar in bars), default=0))
        profiles.append(
            {
                "type": "evented",
                "name": _title(outcome) if number == 1 else f"in parallel {number - 1}",
                "unit": "microseconds",
                "startValue": 0,
                "endValue": max((bar.end_ns - outcome.due_ns for bar in bars), default=0) / NS_PER_US,
                "events": events,
            }
        )
    value: JsonValue = {
        "$schema": _SPEEDSCOPE,
        "exporter": "punie-trace",
        "name": _title(outcome),
        "activeProfileIndex": 0,
        "shared": {"frames": [{"name": name} for name in frames]},
        "profiles": profiles,
    }
    return json.dumps(value, allow_nan=False) + "\n"


def lanes(bars: Sequence[Bar]) -> list[list[Bar]]:
    """The bars in lanes in which any two either nest or do not touch, each lane in order of time, outer ones first."""
    laid: list[list[Bar]] = []
    open_: list[list[int]] = []  # the ends of what is open in each lane, outermost first
    for bar in sorted(bars, key=lambda one: (one.start_ns, -one.end_ns, one.depth)):
        for lane, ends in zip(laid, open_, strict=True):
            while ends and ends[-1] <= bar.start_ns:
                ends.pop()
            if not ends or bar.end_ns <= ends[-1]:
                lane.append(bar)
                ends.append(bar.end_ns)
                break
        else:
            laid.append([bar])
            open_.append([bar.end_ns])
    return laid


def _bars(run: RunRecord, outcome: Outcome) -> tuple[Bar, ...]:
    return waterfall(run.traces[outcome.trace_id])


def _title(outcome: Outcome) -> str:
    return f"{outcome.query}, {outcome.configuration}, round {outcome.round}"
