"""What watching costs: the CPU of the threads that sample memory, energy, utilisation and the machine, of one core.

A run has them all at once: memory of each server's process, the machine's load, energy and GPUs. Here they watch three
processes that hold as much as the servers of the default run, one of them with a child, as a server that forks has. Two
packages of power capping counters are made of files, and NVML, where no GPU is, of a module with its names that answers
at once: then its own part, some calls a sample into a driver, is not in the figure, and the bench says so. CPU is read
from each thread's own clock, so that what else runs on the machine moves it little.

    uv run python bench/sampling.py [--seconds 30]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil

from punie_trace.engine import conditions, energy
from punie_trace.servers import memory

AIM = 0.005
"""Of one core, all of them together."""
HOLDS_MIB = 250
SERVERS = 3
_HOLDS = f"""
import sys, subprocess, time
held = bytearray({HOLDS_MIB} << 20)
held[:: 4096] = b"x" * len(held[:: 4096])
wait = [sys.executable, "-c", "import sys; sys.stdin.read()"]
child = subprocess.Popen(wait, stdin=subprocess.PIPE) if sys.argv[1:] else None
print("held", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Sampler:
    name: str
    every_s: float
    thread: threading.Thread

    def cpu_s(self) -> float:
        assert self.thread.ident is not None
        return time.clock_gettime(time.pthread_getcpuclockid(self.thread.ident))


def made_up_nvml() -> Any:
    """What is used of `pynvml`, for one GPU."""
    used = iter(range(1 << 30))
    return SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda number: number,
        nvmlDeviceGetName=lambda _: "made up",
        nvmlDeviceGetPowerUsage=lambda _: 250_000,
        nvmlDeviceGetUtilizationRates=lambda _: SimpleNamespace(gpu=90, memory=10),
        nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(used=1 << 30),
        nvmlDeviceGetTotalEnergyConsumption=lambda _: next(used),
    )


def power_capping(root: Path) -> Path:
    for number in range(2):
        zone = root / f"intel-rapl:{number}"
        zone.mkdir(parents=True)
        for name, text in (
            ("name", f"package-{number}"),
            ("energy_uj", "123456789"),
            ("max_energy_range_uj", "1" * 12),
        ):
            (zone / name).write_text(f"{text}\n")
    return root


@contextmanager
def held(number: int) -> Generator[psutil.Process]:
    argv = [sys.executable, "-c", _HOLDS, *(["child"] if number == 0 else [])]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield psutil.Process(process.pid)
        process.kill()


def energy_sources(folder: Path) -> tuple[list[energy.EnergySource], str]:
    found = [source for source in energy.energy_sources() if source.name.startswith("NVML")]
    real = bool(found)
    found += [] if real else [energy.NvidiaEnergy(made_up_nvml())]
    return [*found, energy.RaplEnergy(power_capping(folder / "powercap"))], "real" if real else "made up"


def main(seconds: float) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        samplers: list[Sampler] = []
        for number in range(SERVERS):
            process = stack.enter_context(held(number))
            sampler = memory.MemorySampler(lambda process=process: [process, *process.children(recursive=True)])
            sampler.start()
            stack.callback(sampler.stop)
            samplers.append(Sampler(f"memory of server {number + 1}", memory.EVERY_S, sampler._thread))
        sources, nvml = energy_sources(folder)
        watch = stack.enter_context(energy.EnergyWatch(folder / "energy.jsonl", time.monotonic_ns, sources))
        samplers.append(Sampler(f"energy, GPU (NVML {nvml})", energy.INTERVAL_S, watch._thread))
        machine = stack.enter_context(conditions.Conditions(folder / "conditions.jsonl", time.monotonic_ns))
        samplers.append(Sampler("the machine's load", conditions.INTERVAL_S, machine._thread))
        begun, before = time.monotonic(), [one.cpu_s() for one in samplers]
        time.sleep(seconds)
        passed, after = time.monotonic() - begun, [one.cpu_s() for one in samplers]
    print(
        f"{passed:.0f} s, {len(psutil.pids())} processes on the machine, {SERVERS} watched with {HOLDS_MIB} MiB each\n"
    )
    print(f"{'sampler':<32}{'every':>8}{'CPU a sample':>15}{'of a core':>12}")
    for one, start, end in zip(samplers, before, after, strict=True):
        used = end - start
        print(f"{one.name:<32}{one.every_s:>6.2f} s{1e3 * used * one.every_s / passed:>12.3f} ms{used / passed:>12.3%}")
    share = (sum(after) - sum(before)) / passed
    print(f"{'all':<32}{'':>23}{share:>12.3%}  (aim: below {AIM:.1%}: {'met' if share < AIM else 'MISSED'})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    main(parser.parse_args().seconds)
