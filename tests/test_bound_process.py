"""A process bound to our life: ended with all that it started, by us or by our death."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from punie_trace.bound_process import start_bound

FAMILY = (
    "import os, subprocess, time; "
    "far = subprocess.Popen(['sleep', '60'], start_new_session=True); "
    "print(os.getpid(), far.pid, flush=True); time.sleep(60)"
)


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids):
            return True
        time.sleep(0.05)
    return False


def test_it_ends_as_the_program_does(tmp_path: Path):
    process = start_bound([sys.executable, "-c", "raise SystemExit(5)"], folder=tmp_path)
    assert process.popen.wait(20) == 5
    process.end()


def test_what_cannot_be_run_ends_with_127_and_says_why():
    process = start_bound(["no-such-program"], stderr=subprocess.PIPE)
    assert process.popen.stderr is not None
    with process.popen.stderr as stderr:
        assert stderr.read() == b"cannot run 'no-such-program': No such file or directory\n"
    assert process.popen.wait(20) == 127
    process.end()


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        start_bound(["true"], folder=tmp_path / "nowhere")


def test_end_ends_what_left_the_group_too():
    process = start_bound([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE)
    assert process.popen.stdout is not None
    with process.popen.stdout as stdout:
        pids = [int(word) for word in stdout.readline().split()]
    process.end()
    process.end()
    assert gone([process.group, *pids])


def test_nothing_is_left_when_we_are_killed():
    script = (
        "import subprocess, sys, time; from punie_trace.bound_process import start_bound; "
        f"process = start_bound([sys.executable, '-c', {FAMILY!r}], stdout=None); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as popen:
        assert popen.stdout is not None
        pids = [int(word) for word in popen.stdout.readline().split()]
        popen.kill()
    assert gone(pids)
