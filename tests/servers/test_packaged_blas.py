"""OpenBLAS from a package: copied once under standard names, and really what a process then computes with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from punie_trace.servers import packaged_blas
from punie_trace.servers.blas import first_usable
from punie_trace.servers.packaged_blas import gpu_build, packaged_openblas

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the packages are Linux's")

PRODUCT = """
import os
import mlx.core as mx
a, b = mx.arange(32, dtype=mx.float32).reshape(4, 8), mx.arange(24, dtype=mx.float32).reshape(8, 3)
print((a @ b).tolist()[0])
from punie_trace.servers.blas import mapped_blas
print(mapped_blas(os.getpid()))
"""


def test_a_process_computes_with_the_packaged_openblas(tmp_path: Path) -> None:
    library = packaged_openblas(tmp_path)
    assert library is not None
    assert first_usable([library]) == library
    done = subprocess.run(
        [sys.executable, "-c", PRODUCT],
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == ["[420.0, 448.0, 476.0]", f"openblas ({library})"]
    assert done.stderr == ""


def test_the_copy_is_made_once_and_nothing_else_is_left(tmp_path: Path) -> None:
    first = packaged_openblas(tmp_path)
    assert first is not None
    before = first.stat().st_ino
    assert packaged_openblas(tmp_path) == first
    assert first.stat().st_ino == before
    assert [path.name for path in first.parent.iterdir()] == [first.name]


@pytest.mark.parametrize(("name", "value"), [("OPENBLAS_PACKAGE", "no-such-package-anywhere"), ("_LIBRARY", "none.so")])
def test_without_the_package_there_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    monkeypatch.setattr(packaged_blas, name, value)
    assert packaged_openblas(tmp_path) is None


def test_without_patchelf_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(packaged_blas, "_patchelf", lambda: None)
    assert packaged_openblas(tmp_path) is None


def test_where_the_cache_cannot_be_written_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "blas").touch()
    assert packaged_openblas(tmp_path) is None


def test_no_gpu_build_is_installed_beside_the_cpus() -> None:
    assert gpu_build() is None
