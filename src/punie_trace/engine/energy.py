"""What the machine's chips use while a run goes on: energy, and a GPU's utilisation and memory, sampled by a thread.

Counters of the whole machine are read, so whatever else runs on it is in them. Sources: NVIDIA's management library
(`nvidia-ml-py`, NVML API reference: energy in mJ, power in mW, utilisation in per cent), a Mac's IOReport (in
`energy_macos`), and Linux' power capping framework (kernel's power/powercap: uJ, a counter that wraps). Where none can
be read nothing is sampled, and figures say 'not observable'.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

from punie_trace.engine.energy_macos import AppleEnergy, apple_energy
from punie_trace.records import EnergySample

INTERVAL_S: Final = 0.5
"""NVML's own utilisation is a mean over up to a second (NVML API reference, nvmlUtilization_t)."""
_POWERCAP: Final = Path("/sys/class/powercap")


class EnergySource(Protocol):
    """One thing that can be asked what it has used."""

    name: str
    """What it is, for people: 'NVML: NVIDIA H100', 'RAPL: package-0', 'IOReport'."""

    def read(self) -> EnergySample | None:
        """What is known now, with `at_ns` 0; None where the reading failed."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


class NvidiaEnergy:
    """All GPUs that NVML shows, added up; utilisation is the mean over them. `library` is the module `pynvml`."""

    def __init__(self, library: Any) -> None:
        self._library = library
        library.nvmlInit()
        handles = [library.nvmlDeviceGetHandleByIndex(n) for n in range(library.nvmlDeviceGetCount())]
        if not handles:
            library.nvmlShutdown()
            raise LookupError("NVML shows no GPU")
        self._handles = handles
        names = sorted({_text(library.nvmlDeviceGetName(handle)) for handle in handles})
        self.name = f"NVML: {len(handles)} x {', '.join(names)}" if len(handles) > 1 else f"NVML: {names[0]}"
        self._used_mj = 0.0
        self._last_s: float | None = None

    def read(self) -> EnergySample | None:
        """Energy from the counter where the GPU has one (Volta and later), else power times time."""
        library = self._library
        try:
            power_mw = sum(library.nvmlDeviceGetPowerUsage(handle) for handle in self._handles)
            rates = [library.nvmlDeviceGetUtilizationRates(handle).gpu for handle in self._handles]
            memory = sum(library.nvmlDeviceGetMemoryInfo(handle).used for handle in self._handles)
        except library.NVMLError:
            return None
        try:
            used_mj = float(sum(library.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in self._handles))
        except library.NVMLError:
            now_s = time.monotonic()
            self._used_mj += power_mw * (now_s - self._last_s) if self._last_s is not None else 0.0
            self._last_s, used_mj = now_s, self._used_mj
        return EnergySample(
            at_ns=0,
            joules=used_mj / 1e3,
            watts=power_mw / 1e3,
            gpu_utilization=sum(rates) / len(rates) / 100,
            gpu_memory_bytes=int(memory),
        )

    def close(self) -> None:
        """Give NVML back."""
        with contextlib.suppress(self._library.NVMLError):
            self._library.nvmlShutdown()


class RaplEnergy:
    """The processor packages under `root` whose counters may be read, added up."""

    def __init__(self, root: Path = _POWERCAP) -> None:
        zones = [zone for zone in sorted(root.glob("*-rapl:*")) if zone.name.count(":") == 1]
        if not zones:
            raise LookupError("no power capping zone can be read")
        names = [(zone / "name").read_text(encoding="ascii").strip() for zone in zones]
        self.name = f"RAPL: {', '.join(names)}"
        self._most = [int((zone / "max_energy_range_uj").read_text(encoding="ascii")) for zone in zones]
        # Kept open: opening a file takes ten times as long as reading it.
        self._counters = [(zone / "energy_uj").open("rb", buffering=0) for zone in zones]
        self._used_uj = 0
        try:
            self._last = [_number(counter) for counter in self._counters]
        except BaseException:
            self.close()
            raise

    def read(self) -> EnergySample | None:
        """Energy since this was made; a counter that has wrapped goes on."""
        try:
            now = [_number(counter) for counter in self._counters]
        except (OSError, ValueError):
            return None
        for most, before, after in zip(self._most, self._last, now, strict=True):
            self._used_uj += after - before if after >= before else after + most - before
        self._last = now
        return EnergySample(at_ns=0, joules=self._used_uj / 1e6)

    def close(self) -> None:
        """Close the counters' files."""
        for counter in self._counters:
            counter.close()


def energy_sources() -> tuple[EnergySource, ...]:
    """What can be read on this machine; empty where nothing can."""
    found: list[EnergySource] = []
    for make in (_nvidia, _apple, RaplEnergy):
        with contextlib.suppress(Exception):  # absent library, driver or permission: not observable, each for itself
            found.append(make())
    return tuple(found)


def _nvidia() -> EnergySource:
    import pynvml

    return NvidiaEnergy(pynvml)


def _apple() -> AppleEnergy:
    if sys.platform != "darwin":
        raise LookupError("IOReport is macOS's")
    return apple_energy()


class EnergyWatch:
    """A context in which samples are taken and written to `file`, one JSON object a line.

    A reading that fails is left out: watching must never cost the run. `cpu_s` is what the sampling thread used.
    """

    def __init__(
        self,
        file: Path,
        now_ns: Callable[[], int],
        sources: Sequence[EnergySource] | None = None,
        *,
        every_s: float = INTERVAL_S,
    ) -> None:
        self._file = file
        self._now_ns = now_ns
        self._sources = energy_sources() if sources is None else tuple(sources)
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="energy", daemon=True)
        self.cpu_s = 0.0
        self.taken = 0

    @property
    def names(self) -> tuple[str, ...]:
        """What is read; empty where nothing can be."""
        return tuple(source.name for source in self._sources)

    def __enter__(self) -> Self:
        if self._sources:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._sources:
            self._thread.join(timeout=5)
        for source in self._sources:
            source.close()

    def _watch(self) -> None:
        with contextlib.suppress(OSError), self._file.open("a", encoding="utf-8") as file:
            while True:
                begun = time.thread_time()
                self._take(file.write)
                file.flush()
                self.cpu_s += time.thread_time() - begun
                if self._ended.wait(self._every_s):
                    self._take(file.write)
                    return

    def _take(self, write: Callable[[str], object]) -> None:
        at_ns = self._now_ns()
        read = [sample for source in self._sources if (sample := source.read()) is not None]
        if len(read) < len(self._sources):
            return  # a sum without one of its parts would look like a fall
        write(json.dumps(asdict(_sum(read, at_ns)), allow_nan=False) + "\n")
        self.taken += 1


def _sum(read: Sequence[EnergySample], at_ns: int) -> EnergySample:
    watts = [sample.watts for sample in read if sample.watts is not None]
    return EnergySample(
        at_ns=at_ns,
        joules=sum(sample.joules for sample in read),
        watts=sum(watts) if watts else None,
        gpu_utilization=next((one.gpu_utilization for one in read if one.gpu_utilization is not None), None),
        gpu_memory_bytes=next((one.gpu_memory_bytes for one in read if one.gpu_memory_bytes is not None), None),
    )


def _number(file: FileIO) -> int:
    file.seek(0)
    return int(file.read(64))


def _text(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name
