"""Sums over rounds."""

from __future__ import annotations

from dataclasses import replace

from punie_trace.speculative import GenerationRecord, Monitor, RoundRecord

ROUNDS = (
    RoundRecord(verify_ns=10, rest_ns=1),
    RoundRecord(
        drafter="model", k=4, proposed=4, drafted=3, accepted=2, emitted=3, rows=4, draft_ns=5, verify_ns=14, rest_ns=1
    ),
    RoundRecord(drafter="suffix", k=8, proposed=8, drafted=2, rows=3, draft_ns=1, verify_ns=12, rest_ns=1),
    RoundRecord(drafter="model", k=4, proposed=1, draft_ns=3, verify_ns=10),
)
RECORD = GenerationRecord(
    mode="adaptive",
    prompt_tokens=30,
    cached_tokens=10,
    emitted=6,
    prefill_ns=100,
    rounds=ROUNDS,
    fallback=None,
    drafter_bytes=1000,
    cache_bytes=2000,
)
EMPTY = replace(
    RECORD, mode="off", cached_tokens=0, emitted=0, rounds=(), fallback="busy: another generation is drafting"
)


def test_rates_and_sums() -> None:
    assert (RECORD.drafted, RECORD.accepted) == (5, 2)
    assert RECORD.acceptance == 0.4
    assert RECORD.mean_accepted_length == 2.0
    assert RECORD.decode_ns == RECORD.draft_ns + RECORD.verify_ns + RECORD.rest_ns == 9 + 46 + 3
    assert RECORD.by_position() == ((2, 1), (2, 1), (1, 0))
    assert RECORD.by_drafter() == {"model": (3, 2), "suffix": (2, 0)}
    assert RECORD.lengths() == {0: 2, 3: 1, 2: 1}


def test_nothing_is_nothing_and_not_zero() -> None:
    assert EMPTY.acceptance is None
    assert EMPTY.mean_accepted_length is None
    assert EMPTY.by_position() == ()
    seen = Monitor().snapshot()
    assert seen.acceptance is None
    assert seen.speedup_estimated is None
    assert seen.speedup_probed is None


def test_a_monitor_adds_generations_and_reasons() -> None:
    monitor = Monitor()
    for record in (RECORD, EMPTY, RECORD):
        monitor.add(record)
    seen = monitor.snapshot()
    assert (seen.generations, seen.rounds, seen.drafting_rounds) == (3, 8, 4)
    assert (seen.drafted, seen.accepted, seen.emitted) == (10, 4, 12)
    assert seen.by_position == ((4, 2), (4, 2), (2, 0))
    assert seen.fallbacks == {"busy": 1}
    assert seen.acceptance == 0.4
    assert seen.mean_accepted_length == 2.0
    assert seen.speedup_estimated is not None
    assert seen.speedup_probed is None  # no generation was decoded plainly to the end
