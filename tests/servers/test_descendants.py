"""What a process started is found by the kernel's lists as by going through all processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from punie_trace.servers.descendants import descendants

TREE = """
import subprocess, sys, threading
wait = [sys.executable, "-c", "import sys; sys.stdin.read()"]
second = [sys.executable, "-c", "import subprocess, sys; subprocess.run(%r, stdin=sys.stdin)" % (wait,)]
started = [subprocess.Popen(wait, stdin=sys.stdin)]
starting = threading.Thread(target=lambda: started.append(subprocess.Popen(second, stdin=sys.stdin)))
starting.start(), starting.join()
print("started", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def tree() -> Iterator[subprocess.Popen[bytes]]:
    """A process, two children of which one was started by another thread, and a grandchild."""
    process = subprocess.Popen([sys.executable, "-c", TREE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"started\n"
    while len(psutil.Process(process.pid).children(recursive=True)) < 3:
        assert process.poll() is None
    yield process
    process.stdin.close()
    process.wait()
    process.stdout.close()


def test_children_of_every_thread_and_their_children_are_found(tree: subprocess.Popen[bytes]) -> None:
    found = descendants(tree.pid)
    assert {one.pid for one in found} == {one.pid for one in psutil.Process(tree.pid).children(recursive=True)}
    assert {one.ppid() for one in found[:2]} == {tree.pid}, "what was started comes after what started it"


def test_without_the_kernels_lists_all_processes_are_gone_through(
    tree: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    assert len(descendants(tree.pid, tmp_path)) == 3


def test_a_process_that_is_gone_says_so() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(psutil.NoSuchProcess):
        descendants(process.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="the lists are Linux's")
def test_lists_that_name_the_dead_or_nothing_are_passed_over(tmp_path: Path) -> None:
    task = tmp_path / str(os.getpid()) / "task"
    for name, text in ((str(os.getpid()), f"{os.getpid()} {2**22 - 1} "), ("7", "no number"), ("8", None)):
        (task / name).mkdir(parents=True)
        if text is not None:
            (task / name / "children").write_text(text)
    assert descendants(os.getpid(), tmp_path) == []
