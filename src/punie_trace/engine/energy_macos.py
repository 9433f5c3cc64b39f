"""A Mac's energy by IOReport, without root, through `zeus-apple-silicon`; written from that library's read-me.

`AppleEnergyMonitor().get_cumulative_energy()` gives millijoules since a fixed moment, for the parts of the chip; what a
chip does not tell is None. The values are the system's estimates from utilisation, frequency and voltage. A GPU's
utilisation is not among them.
"""

from __future__ import annotations

from typing import Any, Final

from punie_trace.records import EnergySample

_PARTS: Final = ("cpu_total_mj", "gpu_mj", "gpu_sram_mj", "dram_mj", "ane_mj")


class AppleEnergy:
    """CPU, GPU, memory and neural engine of the chip, added up. `monitor` is the library's `AppleEnergyMonitor`."""

    name = "IOReport"

    def __init__(self, monitor: Any) -> None:
        self._monitor = monitor
        if self.read() is None:
            raise LookupError("IOReport tells nothing of this chip")

    def read(self) -> EnergySample | None:
        """Energy since the monitor's fixed moment; None where no part is told."""
        energy = self._monitor.get_cumulative_energy()
        parts = [value for part in _PARTS if (value := getattr(energy, part, None)) is not None]
        return EnergySample(at_ns=0, joules=sum(parts) / 1e3) if parts else None

    def close(self) -> None:
        """Nothing is held beyond the monitor."""


def apple_energy() -> AppleEnergy:
    """The chip of this Mac. Raises ImportError where the library is not installed."""
    from zeus_apple_silicon import AppleEnergyMonitor  # ty: ignore[import-not-found]  # its wheels are macOS's

    return AppleEnergy(AppleEnergyMonitor())
