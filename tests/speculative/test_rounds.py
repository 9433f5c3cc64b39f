"""Sums over rounds."""

from __future__ import annotations

from punie_trace.speculative import GenerationRecord, Monitor, RoundRecord

ROUNDS = (
    RoundRecord("", 0, 0, 0, 0, 1, 1, 0, 0, 10, 1),
    RoundRecord("model", 4, 4, 3, 2, 3, 4, 0, 5, 14, 1),
    RoundRecord("suffix", 8, 8, 2, 0, 1, 3, 0, 1, 12, 1),
    RoundRecord("model", 4, 1, 0, 0, 1, 1, 0, 3, 10, 0),
)
RECORD = GenerationRecord("adaptive", 30, 10, 6, 100, ROUNDS, None, 1000, 2000)
EMPTY = GenerationRecord("off", 30, 0, 0, 100, (), "busy: another generation is drafting", 0, 0)


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
