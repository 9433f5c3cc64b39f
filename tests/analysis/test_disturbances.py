from __future__ import annotations

from punie_trace.analysis.disturbances import disturbance_finding, disturbed
from punie_trace.records import MachineSample

SPANS = {1: (0, 100), 2: (100, 200), 3: (200, 300)}


def test_what_disturbs_a_round_is_named_and_falls_on_that_round_alone() -> None:
    samples = [
        MachineSample(0, 100, other_cpu=0.02, swapped_bytes=0, throttled=False),
        MachineSample(101, 200, other_cpu=0.5, swapped_bytes=64 * 2**20, memory_pressure=0.4),
        MachineSample(200, 300, memory_warning="critical", throttled=True, thermal="heavy"),
    ]
    found = disturbed(SPANS, samples)
    assert list(found) == [2, 3]
    assert found[2] == (
        "other processes took 50% of the machine's cores",
        "64 MiB were swapped",
        "memory was short (something waited for it 40% of the time)",
    )
    assert "(thermal state 'heavy')" in found[3][1]
    finding = disturbance_finding(found, 3)
    assert finding is not None
    assert finding.startswith("rounds 2, 3 were disturbed by something else (round 2: other")


def test_load_counts_by_time() -> None:
    samples = [MachineSample(0, 10, other_cpu=0.9), MachineSample(10, 100, other_cpu=0.0)]
    assert disturbed({1: (0, 100)}, samples) == {}
    assert disturbed({1: (0, 10)}, samples) != {}


def test_what_no_sample_tells_of_is_not_disturbed() -> None:
    assert disturbed(SPANS, []) == {}
    assert disturbed(SPANS, [MachineSample(0, 300)]) == {}
    assert disturbance_finding({}, 3) is None


def test_all_rounds_alike_are_finding_once() -> None:
    why = ("the machine slowed itself down",)
    finding = disturbance_finding({1: why, 2: why}, 2)
    assert finding is not None
    assert finding.startswith("all 2 rounds were disturbed by something else (the machine slowed itself down)")
