"""What stands in the environment for other programs of OpenTelemetry."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.cli.conftest import GOOD, Bench


def test_a_propagator_that_is_not_installed_is_named_before_any_server_starts(bench: Bench) -> None:
    toml = f"[configurations.baseline]\n{bench.server(GOOD)}"
    command = [sys.executable, "-m", "punie_trace", *bench.flags(toml), "--rounds", "1"]
    environ = os.environ | {"OTEL_PROPAGATORS": "b3"}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=bench.folder, env=environ, timeout=110, check=False
    )
    assert done.returncode == 2
    assert "OTEL_PROPAGATORS in the environment names 'b3'" in done.stderr
    assert "starting" not in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
