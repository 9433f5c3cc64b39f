"""A machine that does not tell what runs on it, as a container without /proc."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from punie_trace.runs.reader import read_run
from tests.cli.conftest import GOOD, Bench


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no /proc")
def test_a_run_is_measured_where_there_is_no_proc(bench: Bench, tmp_path: Path) -> None:
    code = (
        f"import psutil, sys; psutil.PROCFS_PATH = {str(tmp_path / 'absent')!r}; "
        "from punie_trace.cli.main import main; sys.argv[0] = 'punie-trace'; main()"
    )
    toml = f"[configurations.baseline]\n{bench.server(GOOD)}"
    command = [sys.executable, "-c", code, *bench.flags(toml), "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=bench.folder, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    run = read_run(bench.out)
    assert run.header.status == "done"
    assert run.header.machine.memory_bytes is None
    assert len(run.outcomes) == 2
