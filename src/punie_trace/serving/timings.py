"""What an answer says of its own times, where the request asked with `"timings": true`: ms and tokens.

Names are llama.cpp's where it has them (`prompt_ms`, `predicted_ms`, `draft_n`, ...).
"""

from __future__ import annotations

from punie_trace.records import JsonValue
from punie_trace.serving.call import Call

NS_PER_MS = 1e6


def timings(call: Call) -> dict[str, JsonValue]:
    """The times of a call whose last token is out; null for a step that it did not reach."""
    decode_ms = _ms(call.decoding_ns, call.last_token_ns)
    decoded = call.output_tokens - (call.decoding_ns == call.first_token_ns)  # the first token may be prefill's
    found: dict[str, JsonValue] = {
        "queue_ms": _ms(call.queued_ns, call.taken_ns),
        "tokenize_ms": _ms(call.tokenizing_ns, call.tokenized_ns),
        "cache_n": call.cached_tokens,
        "prompt_n": None if call.prompt_tokens is None else call.prompt_tokens - (call.cached_tokens or 0),
        "prompt_ms": _ms(call.prefill_ns, call.decoding_ns),
        "predicted_n": call.output_tokens,
        "predicted_ms": decode_ms,
        "predicted_per_second": decoded / decode_ms * 1000 if decode_ms else None,
        "batched": call.batched,
    }
    record = call.record
    if call.speculation.mode != "off":
        found["speculation"] = {
            "mode": call.speculation.mode,
            "drafter": call.drafters,
            "draft_n": record.drafted if record is not None else 0,
            "draft_n_accepted": record.accepted if record is not None else 0,
            "rounds": len(call.drafting),
            "acceptance": record.acceptance if record is not None else None,
            "mean_length": record.mean_accepted_length if record is not None else None,
            "mean_k": call.mean_k,
            "memory_bytes": record.drafter_bytes + record.snapshot_bytes if record is not None else None,
            "fallback": call.fallback,
        }
    return found


def _ms(start: int | None, end: int | None) -> float | None:
    return None if start is None or end is None else (end - start) / NS_PER_MS
