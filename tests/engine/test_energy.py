"""Energy: NVML through a stand-in for its library, Linux' counters in a folder, a Mac's through a fake monitor."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from punie_trace.engine.energy import EnergyWatch, NvidiaEnergy, RaplEnergy, energy_sources
from punie_trace.engine.energy_macos import AppleEnergy
from punie_trace.records import EnergySample


class FakeNvml:
    """As much of `pynvml` as is used, under its own names, which the test below holds against the real library."""

    NVMLError = RuntimeError

    def __init__(self, gpus: int = 1, *, counter: bool = True) -> None:
        self.gpus, self.counter, self.mj, self.open = gpus, counter, 0, False

    def nvmlInit(self) -> None:  # noqa: N802
        self.open = True

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open = False

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return self.gpus

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:  # noqa: N802
        return number

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        return "NVIDIA Made Up"

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        return 250_000

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=80 + 10 * handle, memory=10)

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(used=2**30)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802
        if not self.counter:
            raise self.NVMLError("not supported")
        self.mj += 1500
        return self.mj


def test_the_stand_in_has_the_names_of_the_real_library() -> None:
    pynvml = pytest.importorskip("pynvml")
    names = [name for name in vars(FakeNvml) if name.startswith("nvml") or name == "NVMLError"]
    assert len(names) == 10
    assert all(hasattr(pynvml, name) for name in names)


def test_gpus_are_added_up_and_their_utilisation_is_the_mean() -> None:
    library = FakeNvml(2)
    source = NvidiaEnergy(library)
    assert source.name == "NVML: 2 x NVIDIA Made Up"
    assert source.read() == EnergySample(0, 4.5, 500.0, 0.85, 2 * 2**30)
    source.close()
    assert not library.open


def test_a_gpu_without_a_counter_is_read_by_power_and_time() -> None:
    source = NvidiaEnergy(FakeNvml(counter=False))
    first = source.read()
    time.sleep(0.05)
    second = source.read()
    assert first is not None
    assert second is not None
    assert first.joules == 0
    assert 0.05 * 250 <= second.joules < 250


def test_no_gpu_is_no_source() -> None:
    library = FakeNvml(0)
    with pytest.raises(LookupError):
        NvidiaEnergy(library)
    assert not library.open


def test_packages_are_added_up_and_a_counter_that_wraps_goes_on(tmp_path: Path) -> None:
    for number, name in enumerate(("package-0", "package-1")):
        zone = tmp_path / f"intel-rapl:{number}"
        (zone / f"intel-rapl:{number}:0").mkdir(parents=True)
        (zone / "name").write_text(f"{name}\n")
        (zone / "max_energy_range_uj").write_text("10000000\n")
        (zone / "energy_uj").write_text("9000000\n")
    source = RaplEnergy(tmp_path)
    assert source.name == "RAPL: package-0, package-1"
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("9500000\n")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("1000000\n")
    assert source.read() == EnergySample(0, 2.5)
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("")
    assert source.read() is None
    source.close()
    assert source.read() is None


def test_a_package_that_may_not_be_read_leaves_no_file_open(tmp_path: Path) -> None:
    for number, energy in enumerate(("1", "no number")):
        zone = tmp_path / f"intel-rapl:{number}"
        zone.mkdir()
        for name, text in (("name", "p"), ("max_energy_range_uj", "9"), ("energy_uj", energy)):
            (zone / name).write_text(text)
    before = psutil.Process().num_fds()
    with pytest.raises(ValueError, match="invalid literal"):
        RaplEnergy(tmp_path)
    assert psutil.Process().num_fds() == before


def test_counters_that_may_not_be_read_are_no_source(tmp_path: Path) -> None:
    with pytest.raises(LookupError):
        RaplEnergy(tmp_path)


def test_the_parts_of_a_macs_chip_are_added_up() -> None:
    told = SimpleNamespace(cpu_total_mj=1000, gpu_mj=2000, gpu_sram_mj=None, dram_mj=500, ane_mj=0)
    source = AppleEnergy(SimpleNamespace(get_cumulative_energy=lambda: told))
    assert source.read() == EnergySample(0, 3.5)
    with pytest.raises(LookupError):
        AppleEnergy(SimpleNamespace(get_cumulative_energy=lambda: SimpleNamespace(cpu_total_mj=None)))


class Counter:
    """A source that rises by a joule at each reading, and fails where it is told to."""

    name = "counter"

    def __init__(self, fails: Iterator[bool] | None = None) -> None:
        self.joules, self.fails, self.closed = 0.0, fails, False

    def read(self) -> EnergySample | None:
        self.joules += 1
        return None if self.fails is not None and next(self.fails) else EnergySample(0, self.joules)

    def close(self) -> None:
        self.closed = True


def test_samples_are_written_while_the_context_lasts(tmp_path: Path) -> None:
    first, second = Counter(), Counter()
    with EnergyWatch(tmp_path / "energy.jsonl", time.monotonic_ns, [first, second], every_s=0.01) as watch:
        time.sleep(0.1)
    lines = [json.loads(line) for line in (tmp_path / "energy.jsonl").read_text().splitlines()]
    assert watch.names == ("counter", "counter")
    assert 2 <= len(lines) == watch.taken
    assert [line["joules"] for line in lines] == [2.0 * n for n in range(1, len(lines) + 1)]
    assert first.closed
    assert second.closed


def test_a_reading_without_one_of_its_sources_is_left_out(tmp_path: Path) -> None:
    flaky = Counter(iter([False] + [True] * 1000))
    with EnergyWatch(tmp_path / "energy.jsonl", time.monotonic_ns, [Counter(), flaky], every_s=0.01) as watch:
        time.sleep(0.05)
    assert watch.taken == 1


def test_where_nothing_can_be_read_no_file_is_made(tmp_path: Path) -> None:
    with EnergyWatch(tmp_path / "energy.jsonl", time.monotonic_ns, []) as watch:
        pass
    assert watch.names == ()
    assert not (tmp_path / "energy.jsonl").exists()


def test_what_this_machine_has_can_be_asked_for_without_an_error() -> None:
    for source in energy_sources():
        assert source.name
        source.close()
