"""What servers tell of a generation in their answers: how long they queued, read the prompt and decoded, and drafts.

Each family has its own names and units; `FORMS` lists them, and `reported_timings` reads any of them. The numbers come
from the last chunk of a stream (`names.SERVER_TIMINGS` on the request's span), as the server wrote them. Pure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from punie_trace.records import JsonValue


@dataclass(frozen=True, slots=True)
class TimingForm:
    """One family's names. '' where it tells no such thing; times in units of `unit_ns`."""

    family: str
    where: str
    """In which object of the answer, for people."""
    unit_ns: float
    queue: str = ""
    prefill: str = ""
    decode: str = ""
    cached: str = ""
    drafted: str = ""
    accepted: str = ""


FORMS: Final = (
    TimingForm("llama.cpp", "`timings` of the last chunk", 1e6, "", "prompt_ms", "predicted_ms", "cache_n", "draft_n",
               "draft_n_accepted"),
    TimingForm("Groq, Cerebras", "`usage` (or `x_groq.usage`), `time_info`", 1e9, "queue_time", "prompt_time",
               "completion_time"),
    TimingForm("Ollama", "the last object of its own API", 1.0, "", "prompt_eval_duration", "eval_duration"),
)  # fmt: skip

TIMING_KEYS: Final = frozenset(
    key
    for form in FORMS
    for key in (form.queue, form.prefill, form.decode, form.cached, form.drafted, form.accepted)
    if key
)
_LONGEST_NS: Final = 1e15  # eleven days


@dataclass(frozen=True, slots=True)
class ReportedTimings:
    """What one answer tells, in ns and tokens; None where it does not tell. `family` is who writes it so."""

    family: str
    queue_ns: int | None
    prefill_ns: int
    decode_ns: int
    cached_tokens: int | None
    drafted: int | None
    accepted: int | None


def reported_timings(text: object) -> ReportedTimings | None:
    """The timings in the JSON of a span's `names.SERVER_TIMINGS`; None where no family writes what stands there."""
    if not isinstance(text, str):
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    for form in FORMS:
        prefill, decode = (_time(values, name, form.unit_ns) for name in (form.prefill, form.decode))
        if prefill is not None and decode is not None:
            return ReportedTimings(
                form.family,
                _time(values, form.queue, form.unit_ns),
                prefill,
                decode,
                *(_count(values, name) for name in (form.cached, form.drafted, form.accepted)),
            )
    return None


def timings_in(body: Mapping[str, JsonValue]) -> dict[str, float]:
    """The numbers in an answer's last object that are a server's own timings, under its own names."""
    found: dict[str, float] = {}
    for name in ("usage", "time_info", "timings"):
        part = body.get(name)
        if isinstance(part, dict):
            wanted = part.items() if name == "timings" else ((k, v) for k, v in part.items() if k in TIMING_KEYS)
            found |= {k[:64]: v for k, v in wanted if _is_number(v) and isinstance(v, int | float)}
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LONGEST_NS


def _time(values: Mapping[str, object], name: str, unit_ns: float) -> int | None:
    value = values.get(name) if name else None
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        return None
    return round(value * unit_ns) if value * unit_ns < _LONGEST_NS else None


def _count(values: Mapping[str, object], name: str) -> int | None:
    value = values.get(name) if name else None
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12 else None
