"""What the server has done since it started, as Prometheus reads it: text of counters, gauges and histograms.

Names are vLLM's where they mean the same (dashboards for it work), `punie_trace_*` for the rest. Acceptance rate is
accepted / draft tokens, mean acceptance length 1 + accepted / drafts, as vLLM defines them.
"""

from __future__ import annotations

import bisect
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from punie_trace.serving.call import Call

NS_PER_S: Final = 1e9
BUCKETS: Final = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
    163.84,
    327.68,
)

_HISTOGRAMS: Final = {
    "vllm:e2e_request_latency_seconds": "From the request's head to the answer's last byte",
    "vllm:time_to_first_token_seconds": "From the request's head to the first token",
    "vllm:request_queue_time_seconds": "Waiting for the thread that generates",
    "vllm:request_prefill_time_seconds": "From tokens to the first token of the answer",
    "vllm:request_decode_time_seconds": "From the first token of the answer to the last",
}
_COUNTERS: Final = {
    "vllm:prompt_tokens": "Tokens of prompts",
    "vllm:generation_tokens": "Tokens of answers",
    "vllm:prefix_cache_queries": "Tokens of prompts that were looked for in the prompt cache",
    "vllm:prefix_cache_hits": "Tokens of prompts that the prompt cache had",
    "vllm:spec_decode_num_drafts": "Rounds of draft and verify",
    "vllm:spec_decode_num_draft_tokens": "Tokens drafted",
    "vllm:spec_decode_num_accepted_tokens": "Drafted tokens that the model accepted",
    "punie_trace_spec_draft_seconds": "Time spent drafting",
    "punie_trace_spec_verify_seconds": "Time spent verifying drafts",
}


@dataclass(slots=True)
class _Histogram:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect.bisect_left(BUCKETS, value)] += 1
        self.total += value


class ServerMetrics:
    """Sums over all calls. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, float] = dict.fromkeys(_COUNTERS, 0)
        self._histograms = {name: _Histogram() for name in _HISTOGRAMS}
        self._finished: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._fallbacks: Counter[str] = Counter()
        self._by_drafter: Counter[tuple[str, str]] = Counter()
        self._positions: Counter[int] = Counter()

    def refused(self, status: int) -> None:
        """A request that was not let in."""
        with self._lock:
            self._refused[str(status)] += 1

    def observe(self, call: Call) -> None:
        """Count a call that is over."""
        with self._lock:
            if call.outcome == "done":
                self._finished[call.finish_reason or "stop"] += 1
            elif call.outcome == "client_gone":
                self._finished["abort"] += 1
            elif call.outcome == "failed":
                self._finished["error"] += 1
            else:
                self._refused[str(call.status)] += 1
            self._count(call)
            self._time(call)

    def _count(self, call: Call) -> None:
        counters = self._counters
        if call.first_token_ns is not None:
            counters["vllm:prompt_tokens"] += call.prompt_tokens or 0
            counters["vllm:prefix_cache_queries"] += call.prompt_tokens or 0
            counters["vllm:prefix_cache_hits"] += call.cached_tokens or 0
        counters["vllm:generation_tokens"] += call.output_tokens
        if call.fallback is not None:
            self._fallbacks[call.fallback.partition(":")[0]] += 1  # the details are for spans: each label is a series
        record = call.record
        if record is None:
            return
        counters["vllm:spec_decode_num_drafts"] += len(call.drafting)
        counters["vllm:spec_decode_num_draft_tokens"] += record.drafted
        counters["vllm:spec_decode_num_accepted_tokens"] += record.accepted
        counters["punie_trace_spec_draft_seconds"] += record.draft_ns / NS_PER_S
        counters["punie_trace_spec_verify_seconds"] += sum(one.verify_ns for one in call.drafting) / NS_PER_S
        for drafter, (drafted, accepted) in record.by_drafter().items():
            self._by_drafter[drafter, "drafted"] += drafted
            self._by_drafter[drafter, "accepted"] += accepted
        self._positions.update({place: accepted for place, (_, accepted) in enumerate(record.by_position())})

    def _time(self, call: Call) -> None:
        spans = {
            "vllm:e2e_request_latency_seconds": (call.arrived_ns, call.done_ns),
            "vllm:time_to_first_token_seconds": (call.arrived_ns, call.first_token_ns),
            "vllm:request_queue_time_seconds": (call.queued_ns, call.taken_ns),
            "vllm:request_prefill_time_seconds": (call.prefill_ns, call.first_token_ns),
            "vllm:request_decode_time_seconds": (call.first_token_ns, call.last_token_ns),
        }
        for name, (start, end) in spans.items():
            if start is not None and end is not None:
                self._histograms[name].observe((end - start) / NS_PER_S)

    def text(self, *, model: str, open_calls: int, waiting: int, loaded: bool) -> str:
        """All values in Prometheus' text format, version 0.0.4."""
        label = f'model_name="{_escaped(model)}"'
        with self._lock:
            lines = [
                *_metric("vllm:num_requests_running", "gauge", "Requests being answered", label, open_calls - waiting),
                *_metric("vllm:num_requests_waiting", "gauge", "Requests that wait", label, waiting),
                *_metric("punie_trace_model_loaded", "gauge", "1 where the model is loaded", label, int(loaded)),
            ]
            for name, description in _COUNTERS.items():
                lines += _metric(f"{name}_total", "counter", description, label, self._counters[name])
            lines += self._labelled(label)
            for name, description in _HISTOGRAMS.items():
                lines += _histogram(name, description, label, self._histograms[name])
        return "".join(f"{line}\n" for line in lines)

    def _labelled(self, label: str) -> list[str]:
        groups: tuple[tuple[str, str, dict[str, float]], ...] = (
            (
                "vllm:request_success_total",
                "Answers by how they ended",
                {f'finished_reason="{reason}"': count for reason, count in self._finished.items()},
            ),
            (
                "punie_trace_requests_refused_total",
                "Requests that were refused, by HTTP status",
                {f'status="{status}"': count for status, count in self._refused.items()},
            ),
            (
                "vllm:spec_decode_num_accepted_tokens_per_pos_total",
                "Accepted tokens by their place in the draft",
                {f'position="{place}"': count for place, count in sorted(self._positions.items())},
            ),
            (
                "punie_trace_spec_tokens_total",
                "Tokens drafted and accepted, by drafter",
                {
                    f'drafter="{_escaped(drafter)}",what="{what}"': count
                    for (drafter, what), count in sorted(self._by_drafter.items())
                },
            ),
            (
                "punie_trace_spec_fallbacks_total",
                "Generations that drafted nothing, or no more, by reason",
                {f'reason="{_escaped(reason)}"': count for reason, count in self._fallbacks.items()},
            ),
        )
        lines: list[str] = []
        for name, description, values in groups:
            lines += [f"# HELP {name} {description}", f"# TYPE {name} counter"]
            lines += [f"{name}{{{label},{extra}}} {_shown(value)}" for extra, value in values.items()]
        return lines


def _metric(name: str, kind: str, description: str, label: str, value: float) -> list[str]:
    return [f"# HELP {name} {description}", f"# TYPE {name} {kind}", f"{name}{{{label}}} {_shown(value)}"]


def _histogram(name: str, description: str, label: str, histogram: _Histogram) -> list[str]:
    lines = [f"# HELP {name} {description}", f"# TYPE {name} histogram"]
    below = 0
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), histogram.counts, strict=True):
        below += count
        lines.append(f'{name}_bucket{{{label},le="{bound}"}} {below}')
    return [*lines, f"{name}_sum{{{label}}} {_shown(histogram.total)}", f"{name}_count{{{label}}} {below}"]


def _shown(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
