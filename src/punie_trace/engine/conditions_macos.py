"""Heat and memory pressure of a Mac, from the commands that its system documents; written from their manual pages.

- `notifyutil -g com.apple.system.thermalpressurelevel` prints the name and the level of OSThermalNotification.h:
  0 nominal, 1 moderate, 2 heavy, 3 trapping, 4 sleeping.
- `pmset -g therm` prints `CPU_Speed_Limit = 100` (per cent) where the system limits the speed (pmset(1)).
- `sysctl -n kern.memorystatus_vm_pressure_level` prints 1 normal, 2 warning, 4 critical.

What is not printed, or not as described, is None. Elsewhere than on a Mac nothing here is called.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

_THERMAL: Final = {0: "nominal", 1: "moderate", 2: "heavy", 3: "trapping", 4: "sleeping"}
_MEMORY: Final = {2: "warning", 4: "critical"}

Ask = Callable[[Sequence[str]], str]
"""Runs a command and gives what it printed, '' where it could not be run."""


@dataclass(frozen=True, slots=True)
class MacConditions:
    """None is 'the system does not tell'."""

    thermal: str | None
    throttled: bool | None
    memory_warning: str | None


def run_command(command: Sequence[str]) -> str:
    """What the command printed within two seconds."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=2, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def macos_conditions(ask: Ask = run_command) -> MacConditions:
    """How hot the machine is and how short of memory."""
    level = _last_number(ask(("/usr/bin/notifyutil", "-g", "com.apple.system.thermalpressurelevel")))
    limit = re.search(r"CPU_Speed_Limit\s*=\s*(\d+)", ask(("/usr/bin/pmset", "-g", "therm")))
    pressure = _last_number(ask(("/usr/sbin/sysctl", "-n", "kern.memorystatus_vm_pressure_level")))
    thermal = _THERMAL.get(level) if level is not None else None
    throttled = None
    if thermal is not None or limit is not None:
        throttled = thermal not in (None, "nominal") or (limit is not None and int(limit[1]) < 100)
    return MacConditions(thermal, throttled, _MEMORY.get(pressure) if pressure is not None else None)


def _last_number(printed: str) -> int | None:
    words = printed.split()
    return int(words[-1]) if words and words[-1].isdigit() else None
