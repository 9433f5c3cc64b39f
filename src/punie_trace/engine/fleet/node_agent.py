"""What stands on a node of a cluster: it starts one process there, passes messages on, and hands over what was written.

It measures nothing and knows no message. Where nobody asks it any more, it ends its process: a cluster whose head is
gone may never say so.
"""

from __future__ import annotations

import importlib
import os
import queue
import shutil
import socket
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from punie_trace.engine.fleet.process import ToldProcess

ABANDONED_S: Final = 30.0
"""Seconds without a question for messages after which whoever asked them is taken for dead."""
MOST_AT_ONCE: Final = 1000
MOST_WAITING: Final = 100_000


def remove_part(folder: str) -> None:
    """Remove `folder`, and the one that holds the run's parts where it was the last of them."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        Path(folder).parent.rmdir()


class NodeAgent:
    """An actor's class. `module` is what its process runs, in `folder` where there is such a one; '' starts none."""

    def __init__(self, module: str, run_id: str, folder: str) -> None:
        self._run_id = run_id
        self._asked_s = time.monotonic()
        self._messages: queue.Queue[bytes | None] = queue.Queue(MOST_WAITING)
        self._process: ToldProcess | None = None
        if module:
            # What the runner's environment or a runtime environment lets this process find, its process finds too.
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
            own = Path(folder) if folder and Path(folder).is_dir() else None
            self._process = ToldProcess(module, own)
            threading.Thread(target=self._read, name="messages", daemon=True).start()
            threading.Thread(target=self._watch, name="abandoned", daemon=True).start()

    def where(self) -> tuple[str, str, str]:
        """This host's name, the folder that parts of the run go into here, and Ray's id of the node."""
        folder = Path(tempfile.gettempdir()) / f"punie-trace-parts-{self._run_id}"
        node = importlib.import_module("ray").get_runtime_context().get_node_id()
        return socket.gethostname(), str(folder), node

    def send(self, data: bytes) -> None:
        """Pass a message on to the process; its end is told by `receive`."""
        if self._process is not None:
            with suppress(OSError):
                self._process.send(data)

    def receive(self, limit_s: float) -> list[bytes | None]:
        """The next messages of the process, waiting for one at most so long; None after the last one."""
        self._asked_s = time.monotonic()
        found: list[bytes | None] = []
        with suppress(queue.Empty):
            found.append(self._messages.get(timeout=limit_s))
            while len(found) < MOST_AT_ONCE:
                found.append(self._messages.get_nowait())
        return found

    def how_it_ended(self) -> str:
        """In words, after its last message."""
        return self._process.how_it_ended() if self._process is not None else ""

    def end(self) -> str:
        """End the process; returns the end of what it printed."""
        return self._process.end() if self._process is not None else ""

    def files(self, folder: str) -> list[tuple[str, int]]:
        """The files below `folder`: path within it, and size."""
        root = Path(folder)
        return [(str(path.relative_to(root)), path.stat().st_size) for path in root.rglob("*") if path.is_file()]

    def read(self, folder: str, name: str, start: int, size: int) -> bytes:
        """So much of a file."""
        with (Path(folder) / name).open("rb") as file:
            file.seek(start)
            return file.read(size)

    def remove(self, folder: str) -> None:
        """Remove a part that was brought home."""
        remove_part(folder)

    def _read(self) -> None:
        process = self._process
        while process is not None and (data := process.receive()) is not None:
            self._messages.put(data)
        self._messages.put(None)

    def _watch(self) -> None:
        while time.monotonic() - self._asked_s < ABANDONED_S:
            time.sleep(1)
        self.end()
