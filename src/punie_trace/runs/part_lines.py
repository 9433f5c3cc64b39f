"""The lines of a part, on the run's clock: one shift for all instants of a query, so that its ledger stays as it was.

A generator on another host wrote its outcomes and spans by that host's clock. Here its lines are moved to the run's, as
text: neither is decoded, so that a million take seconds. That is safe because a quotation mark within a JSON string is
written with a backslash before it, so that none of the patterns below can match what a model or a tool wrote.
No file is opened here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from punie_trace.spans import names

ShiftAt: TypeAlias = Callable[[int], int]
"""(a time on the part's clock, ns) -> what to add for the run's clock, ns."""

MOST_HELD: Final = 200_000
"""Lines of spans that wait for the root of their trace; beyond it, the oldest trace goes on without."""
_OUTCOME: Final = re.compile(rb'"due_ns":(\d+),"sent_ns":(\d+),"done_ns":(\d+)')
_SPAN: Final = re.compile(rb'"spans":\[\{"traceId":"([0-9a-f]{32})","spanId":"[0-9a-f]{16}"(,"parentSpanId")?')
_TIMES: Final = re.compile(rb'"startTimeUnixNano":"(\d+)","endTimeUnixNano":"(\d+)"')
_EVENTS: Final = b',"events":[{"timeUnixNano":"'
_EVENT_TIME: Final = re.compile(rb'\{"timeUnixNano":"(\d+)"')
_SENT: Final = re.compile(rb'"key":"punie\.(?:turn\.)?sent_ns","value":\{"intValue":"(\d+)"')
_TURNS: Final = b'"turns":['
_RESOURCE: Final = b'"resource":{"attributes":['
_ATTRIBUTES: Final = re.compile(rb'("endTimeUnixNano":"\d+","attributes":\[)(\]?)')


@dataclass(frozen=True, slots=True)
class MovedLines:
    """Lines that belong together, and the moment on the run's clock (ns) that orders them among other parts'."""

    at_ns: int
    lines: tuple[bytes, ...]


def moved_outcomes(lines: Iterable[bytes], shift_at: ShiftAt) -> Iterator[MovedLines]:
    """Each whole line of outcomes on the run's clock; what a kill cut off is left out."""
    for line in lines:
        found = _OUTCOME.search(line)
        if found is None or not line.endswith(b"}\n"):
            continue
        due, sent, done = (int(found[group]) for group in (1, 2, 3))
        shift = shift_at(due)
        if shift:
            times = b'"due_ns":%d,"sent_ns":%d,"done_ns":%d' % (due + shift, sent + shift, done + shift)
            line = line[: found.start()] + times + line[found.end() :]
            if _TURNS in line:
                line = _with_turns_moved(line, shift)
        yield MovedLines(done + shift, (line,))


def _with_turns_moved(line: bytes, shift: int) -> bytes:
    """The line of a session with the times of its turns moved as well; arguments of tools may look just like them."""
    values = json.loads(line)
    turns = values.get("turns")
    for turn in turns if isinstance(turns, list) else ():
        turn.update({name: turn[name] + shift for name in ("due_ns", "sent_ns", "done_ns")})
    return json.dumps(values, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def moved_spans(lines: Iterable[bytes], shift_at: ShiftAt, uncertainty_ns: int | None) -> Iterator[MovedLines]:
    """The spans of each trace on the run's clock, in the order in which the traces ended.

    All of a trace is moved by what its root is moved by, which is written last. A root that was moved says by how much,
    and where its spans come from says how sure that is, `uncertainty_ns`.
    """
    held: dict[bytes, list[bytes]] = {}
    waiting = 0
    for line in lines:
        found, times = _SPAN.search(line), _TIMES.search(line)
        if found is None or times is None or not line.endswith(b"}\n"):
            continue
        trace = found[1]
        if found[2] is not None:
            held.setdefault(trace, []).append(line)
            waiting += 1
            if waiting > MOST_HELD:
                oldest = held.pop(next(iter(held)))
                waiting -= len(oldest)
                yield _moved(oldest, shift_at, uncertainty_ns)
            continue
        before = held.pop(trace, [])
        waiting -= len(before)
        yield _moved([*before, line], shift_at, uncertainty_ns)
    for left in held.values():  # their query was under way when the part ended
        yield _moved(left, shift_at, uncertainty_ns)


def _moved(lines: list[bytes], shift_at: ShiftAt, uncertainty_ns: int | None) -> MovedLines:
    """Lines of one trace, of which the last one is its root, or the last that there is."""
    times = _TIMES.search(lines[-1])
    if times is None:
        raise ValueError("a line of spans without times")  # they were looked at before
    shift = shift_at(int(times[1]))
    if shift:
        lines = [_shifted(line, shift, uncertainty_ns) for line in lines]
        lines[-1] = _ATTRIBUTES.sub(lambda at: _with(at[1], names.CLOCK_SHIFT, -shift, last=bool(at[2])), lines[-1], 1)
    return MovedLines(int(times[2]) + shift, tuple(lines))


def _shifted(line: bytes, shift: int, uncertainty_ns: int | None) -> bytes:
    times = _TIMES.search(line)
    if times is None:
        return line
    rest = line[times.end() :]
    if (sent := _SENT.search(rest)) is not None:
        rest = b"%b%d%b" % (rest[: sent.start(1)], int(sent[1]) + shift, rest[sent.end(1) :])
    if (events := rest.find(_EVENTS)) >= 0:
        later = _EVENT_TIME.sub(lambda at: b'{"timeUnixNano":"%d"' % (int(at[1]) + shift), rest[events:])
        rest = rest[:events] + later
    before = line[: times.start()]
    if uncertainty_ns is not None and _RESOURCE + b"]" not in before:
        before = before.replace(_RESOURCE, _with(_RESOURCE, names.CLOCK_UNCERTAINTY, uncertainty_ns), 1)
    moved = int(times[1]) + shift, int(times[2]) + shift
    return b'%b"startTimeUnixNano":"%d","endTimeUnixNano":"%d"%b' % (before, *moved, rest)


def _with(before: bytes, name: str, value: int, *, last: bool = False) -> bytes:
    """The beginning of a list of attributes with one more in it."""
    return b'%b{"key":"%b","value":{"intValue":"%d"}}%b' % (before, name.encode(), value, b"]" if last else b",")


def moved_samples(lines: Iterable[bytes], shift_at: ShiftAt) -> Iterator[MovedLines]:
    """Samples of a machine on the run's clock; what is no sample is left out."""
    for line in lines:
        try:
            values = json.loads(line)
            start, end = int(values["start_ns"]), int(values["end_ns"])
        except (ValueError, TypeError, KeyError):
            continue
        shift = shift_at(start)
        moved = {**values, "start_ns": start + shift, "end_ns": end + shift}
        yield MovedLines(end + shift, (json.dumps(moved, allow_nan=False).encode() + b"\n",))
