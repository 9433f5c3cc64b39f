"""What machine and which versions a run was made on: read once, for the header. Nothing is measured here."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from punie_trace import __version__
from punie_trace.runs.header import Machine

PACKAGES = ("mlx", "mlx-lm", "pydantic-ai-slim", "openai", "httpx2", "opentelemetry-sdk", "anyio", "transformers")


def read_machine() -> Machine:
    """This machine, as its system describes it; what the system does not tell stays None."""
    chip = _sysctl("machdep.cpu.brand_string") if sys.platform == "darwin" else None
    return Machine(
        os=_os(),
        arch=platform.machine(),
        cpu=chip or _linux_cpu() or platform.processor() or "unknown",
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=_memory(),
        chip=chip,
        power=_power(),
    )


def read_versions() -> dict[str, str]:
    """Versions of Python, of this package and of those that bear on speed; a missing one is left out."""
    found = {"python": platform.python_version(), "punie_trace": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _os() -> str:
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return f"{platform.system()} {platform.release()}"
    return release.get("PRETTY_NAME", platform.system())


def _linux_cpu() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), None)


def _memory() -> int | None:
    try:
        return psutil.virtual_memory().total
    except (OSError, psutil.Error):
        return None


def _power() -> str | None:
    try:
        battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    except (OSError, psutil.Error):
        return None
    if battery is None:
        return None
    return "mains" if battery.power_plugged else "battery"


def _sysctl(name: str) -> str | None:
    """One value of macOS's sysctl(8), None where it has none."""
    try:
        done = subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None
