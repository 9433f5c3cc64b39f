from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from punie_trace.engine.conditions import Conditions
from punie_trace.engine.conditions_macos import MacConditions, macos_conditions
from punie_trace.runs.reader import CONDITIONS_FILE, read_run
from punie_trace.spans.clock import Clock
from tests.synthetic_run import Arm, write_run


def mac(thermal: str = "", power: str = "", memory: str = "") -> MacConditions:
    """What is made of what the three commands print."""

    def ask(command: Sequence[str]) -> str:
        return {"notifyutil": thermal, "pmset": power, "sysctl": memory}[Path(command[0]).name]

    return macos_conditions(ask)


@pytest.mark.parametrize(
    ("thermal", "power", "memory", "expected"),
    [
        ("com.apple.system.thermalpressurelevel 0\n", "", "1\n", MacConditions("nominal", False, None)),
        ("com.apple.system.thermalpressurelevel 2\n", "", "2\n", MacConditions("heavy", True, "warning")),
        ("", "CPU_Speed_Limit \t= 61\n", "4\n", MacConditions(None, True, "critical")),
        ("", "CPU_Speed_Limit = 100\n", "", MacConditions(None, False, None)),
        ("", "Note: No thermal warning level has been recorded\n", "oops", MacConditions(None, None, None)),
        ("com.apple.system.thermalpressurelevel 99", "", "7", MacConditions(None, None, None)),
    ],
)
def test_a_mac_tells_of_heat_and_memory(thermal: str, power: str, memory: str, expected: MacConditions) -> None:
    assert mac(thermal, power, memory) == expected


def test_samples_lie_end_to_end_and_can_be_read_back(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", {"a": Arm()}, rounds=1)
    clock = Clock.start()
    with Conditions(folder / CONDITIONS_FILE, clock.now_ns, every_s=60) as conditions:
        sum(range(100_000))
        first = conditions.samples()
    read = read_run(folder).samples
    assert read[: len(first)] == first
    assert len(read) == len(first) + 1
    assert all(before.end_ns == after.start_ns for before, after in pairwise(read))
    assert all(one.other_cpu is None or 0 <= one.other_cpu <= 1 for one in read)
    assert "conditions" not in {thread.name for thread in threading.enumerate()}


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    with Conditions(tmp_path / "none" / "file", Clock.start().now_ns, ours=False, every_s=60) as conditions:
        (sample,) = conditions.samples()
    assert sample.other_cpu is None
