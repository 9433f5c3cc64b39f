from __future__ import annotations

import sys
from pathlib import Path

import pytest

from punie_trace.errors import ConfigurationError
from punie_trace.servers import blas
from punie_trace.servers.blas import blas_advice, blas_of, first_usable, mapped_blas, preload_for, variables_for
from punie_trace.servers.packaged_blas import packaged_openblas

linux = pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's")


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["/a/libopenblas.so.0", "/b/libmlx.so", "/b/libblas-bd8a.so.3"], "openblas (/a/libopenblas.so.0)"),
        (["/a/libopenblasp-r0.3.21.so", "/b/libmlx.so"], "openblas (/a/libopenblasp-r0.3.21.so)"),
        (["/a/libmkl_rt.so.2", "/b/libmlx.so"], "mkl (/a/libmkl_rt.so.2)"),
        (["/b/libmlx.so", "/b/libblas-bd8a282c.so.3.10.0"], "reference"),
        (["/b/libmlx.so", "/b/libblas-bd8a282c.so.3.10.0", "/c/libcublas.so.12"], "CUDA (/c/libcublas.so.12)"),
        (["/usr/lib/libc.so.6", "/x/libblastoff.so"], None),
        ([], None),
    ],
)
def test_which_blas_a_process_has(files: list[str], found: str | None) -> None:
    assert blas_of(files) == found


def test_advice_only_where_there_is_something_to_gain() -> None:
    assert "libopenblas0-pthread" in str(blas_advice("reference"))
    assert blas_advice("openblas (/a)") is None
    assert blas_advice(None) is None


def test_builds_with_other_symbol_names_do_not_stand_in(tmp_path: Path) -> None:
    prefixed, plain = tmp_path / "prefixed.so", tmp_path / "plain.so"
    prefixed.write_bytes(b"\0scipy_cblas_sgemm\0scipy_sgemm_\0")
    plain.write_bytes(b"\0cblas_sgemm\0sgemm_\0")
    assert first_usable([tmp_path / "missing.so", prefixed, plain]) == plain
    assert first_usable([prefixed]) is None


@linux
def test_what_is_preloaded(tmp_path: Path) -> None:
    assert preload_for({"LD_PRELOAD": "mine.so"}) == ""
    assert preload_for({"PUNIE_TRACE_BLAS": "off"}) == ""
    library = tmp_path / "lib.so"
    library.touch()
    assert preload_for({"PUNIE_TRACE_BLAS": str(library)}) == str(library)
    with pytest.raises(ConfigurationError, match="does not exist"):
        preload_for({"PUNIE_TRACE_BLAS": str(tmp_path / "none.so")})


@linux
def test_the_systems_openblas_goes_before_the_packaged_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(blas, "find_openblas", lambda: tmp_path / "libopenblas.so.0")
    assert preload_for({}) == str(tmp_path / "libopenblas.so.0")
    packaged = str(packaged_openblas())
    assert preload_for({"PUNIE_TRACE_BLAS": "packaged"}) == packaged
    monkeypatch.setattr(blas, "find_openblas", lambda: None)
    assert preload_for({}) == packaged


@linux
def test_a_gpu_build_of_mlx_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "gpu_build", lambda: "mlx-cuda-12 0.32.4")
    assert preload_for({}) == ""


@linux
def test_idle_threads_of_openblas_shall_sleep_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    library = tmp_path / "lib.so"
    library.touch()
    named = {"PUNIE_TRACE_BLAS": str(library)}
    assert variables_for(named) == {"LD_PRELOAD": str(library), "OPENBLAS_THREAD_TIMEOUT": "14"}
    assert variables_for({**named, "OPENBLAS_THREAD_TIMEOUT": "26"}) == {"LD_PRELOAD": str(library)}
    assert variables_for({"LD_PRELOAD": "mine.so"}) == {"OPENBLAS_THREAD_TIMEOUT": "14"}
    assert variables_for({"PUNIE_TRACE_BLAS": "off"}) == {}


@linux
def test_a_process_that_is_not_there_has_no_blas() -> None:
    assert mapped_blas(0) is None
