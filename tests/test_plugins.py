from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = """
from punie_trace.report.registry import register_export
from punie_trace.speculative.registry import register_drafter

register_drafter("echo", "echo_plugin:make", free=True)
register_export("one-line", lambda source, out: print("one line", file=out), "a line")
"""


def install(folder: Path, name: str, module: str, source: str) -> None:
    """A package as an installer would leave it: a module, and its metadata with an entry point."""
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[punie_trace.plugins]\n{name} = {module}\n")


def punie_trace(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "punie_trace", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder), "NO_COLOR": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100, check=False)


def test_the_command_line_knows_what_an_installed_package_registers(tmp_path: Path) -> None:
    install(tmp_path, "echo", "echo_plugin", PLUGIN)
    done = punie_trace(tmp_path, "serve", "--drafter", "ecko")
    assert done.returncode == 2
    assert "did you mean 'echo'?" in done.stderr


def test_a_package_that_cannot_be_imported_is_named_and_left_out(tmp_path: Path) -> None:
    install(tmp_path, "broken", "broken_plugin", "raise ValueError('no such thing\\x1b[2J')")
    install(tmp_path, "echo", "echo_plugin", PLUGIN)
    done = punie_trace(tmp_path, "suites")
    assert done.returncode == 0
    assert "discrimination" in done.stdout
    (line,) = done.stderr.splitlines()
    out = "the plug-in 'broken' of the package broken-plugin is left out"
    assert line.startswith(f"{out}: importing broken_plugin failed")
    assert "ValueError: no such thing" in line
    assert "\x1b" not in line


@pytest.mark.parametrize("arguments", [("--version",)])
def test_without_plug_ins_nothing_is_printed_of_them(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = punie_trace(tmp_path, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
