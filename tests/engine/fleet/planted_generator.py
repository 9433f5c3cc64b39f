"""A generator whose host has another clock: `time` is made to say so before anything reads it.

Each process takes the next of the clocks in PUNIE_PLANTED, a folder with one file a clock: 'offset_ns ppm'.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path


def plant(offset_ns: int, ppm: float) -> None:
    """Wall time ahead by `offset_ns` now, and both clocks faster by `ppm` from now on."""
    monotonic_ns, time_ns = time.monotonic_ns, time.time_ns
    begin, wall = monotonic_ns(), time_ns()

    def since() -> int:
        gone = monotonic_ns() - begin
        return gone + round(gone * ppm / 1e6)

    time.monotonic_ns = lambda: begin + since()  # ty: ignore[invalid-assignment]
    time.time_ns = lambda: wall + offset_ns + since()  # ty: ignore[invalid-assignment]


def next_clock(folder: Path) -> tuple[int, float]:
    for file in sorted(folder.iterdir()):
        try:
            offset, ppm = file.read_text().split()
            file.unlink()
        except OSError:
            continue  # another one took it
        return int(offset), float(ppm)
    raise SystemExit("there is no clock left to take")


if __name__ == "__main__":
    plant(*next_clock(Path(os.environ["PUNIE_PLANTED"])))
    from punie_trace.engine.fleet import clock_identity, generator

    generator.clock_id = lambda: f"planted {os.getpid()}"  # ty: ignore[invalid-assignment]
    clock_identity.clock_id = generator.clock_id
    generator.main(int(sys.argv[1]))
