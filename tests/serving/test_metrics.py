"""Sums and text of `/metrics`, and timings, from calls that are made up."""

from __future__ import annotations

import pytest

from punie_trace.serving.call import Call
from punie_trace.serving.metrics import BUCKETS, ServerMetrics
from punie_trace.serving.timings import timings
from punie_trace.speculative.request import Speculation
from punie_trace.speculative.rounds import GenerationRecord, RoundRecord
from tests.serving.asking import sample

MS = 1_000_000


def round_(drafter: str, drafted: int, accepted: int) -> RoundRecord:
    return RoundRecord(
        drafter=drafter,
        k=drafted,
        proposed=drafted,
        drafted=drafted,
        accepted=accepted,
        emitted=accepted + 1,
        rows=drafted + 1,
        lag=0,
        draft_ns=2 * MS,
        verify_ns=5 * MS,
        rest_ns=MS,
    )


RECORD = GenerationRecord(
    mode="adaptive",
    prompt_tokens=50,
    cached_tokens=30,
    emitted=9,
    prefill_ns=8 * MS,
    rounds=(round_("suffix", 4, 4), round_("", 0, 0), round_("model", 2, 1)),
    fallback="memory limit: the drafters hold 3.1 MB",
    drafter_bytes=3000,
    cache_bytes=0,
    snapshot_bytes=500,
)


def finished(**changes: object) -> Call:
    call = Call(arrived_ns=0, speculation=Speculation("adaptive"))
    values = {
        "record": RECORD,
        "fallback": RECORD.fallback,
        "tokenizing_ns": 3 * MS,
        "queued_ns": MS,
        "taken_ns": 3 * MS,
        "tokenized_ns": 4 * MS,
        "first_token_ns": 14 * MS,
        "last_token_ns": 54 * MS,
        "done_ns": 55 * MS,
        "prompt_tokens": 50,
        "cached_tokens": 30,
        "output_tokens": 9,
        "finish_reason": "stop",
        **changes,
    }
    for name, value in values.items():
        setattr(call, name, value)
    return call


def test_plain_decoding_computes_its_first_token_with_the_prompt() -> None:
    said = timings(finished(record=None, speculation=Speculation("off")))
    assert (said["prompt_ms"], said["predicted_ms"], said["predicted_per_second"]) == (10, 40, 200)


def test_timings_of_a_call() -> None:
    said = timings(finished())
    assert (said["queue_ms"], said["tokenize_ms"], said["prompt_ms"], said["predicted_ms"]) == (2, 1, 8, 42)
    assert (said["cache_n"], said["prompt_n"], said["predicted_per_second"]) == (30, 20, pytest.approx(9 / 0.042))
    speculation = said["speculation"]
    assert isinstance(speculation, dict)
    assert (speculation["draft_n"], speculation["draft_n_accepted"], speculation["rounds"]) == (6, 5, 2)
    assert speculation["drafter"] == "suffix,model"
    assert (speculation["mean_length"], speculation["mean_k"]) == (3.5, 3)
    assert speculation["memory_bytes"] == 3500


def test_the_sums_are_those_of_the_calls() -> None:
    metrics = ServerMetrics()
    metrics.observe(finished())
    metrics.observe(finished(output_tokens=1))
    metrics.observe(finished(outcome="client_gone"))
    metrics.refused(413)
    text = metrics.text(model='odd "name"\n', open_calls=3, waiting=1, loaded=True)
    expected = {
        "vllm:prompt_tokens_total": 150,
        "vllm:prefix_cache_hits_total": 90,
        "vllm:generation_tokens_total": 19,
        "vllm:spec_decode_num_drafts_total": 6,
        "vllm:spec_decode_num_draft_tokens_total": 18,
        "vllm:spec_decode_num_accepted_tokens_total": 15,
        "vllm:spec_decode_num_accepted_tokens_per_pos_total": 15,
        "punie_trace_spec_draft_seconds_total": 0.018,
        "punie_trace_spec_verify_seconds_total": 0.03,
        "punie_trace_spec_fallbacks_total": 3,
        "punie_trace_requests_refused_total": 1,
        "vllm:e2e_request_latency_seconds_count": 3,
        "vllm:e2e_request_latency_seconds_sum": 0.165,
        "vllm:num_requests_running": 2,
        "vllm:num_requests_waiting": 1,
    }
    assert {name: sample(text, name) for name in expected} == pytest.approx(expected)
    assert 'model_name="odd \\"name\\"\\n"' in text
    assert 'reason="memory limit"' in text
    assert 'finished_reason="abort"' in text
    assert text.count("e2e_request_latency_seconds_bucket") == len(BUCKETS) + 1
    assert all(line.startswith("#") or " " in line for line in text.splitlines())
