"""The process of a generator, or of whoever keeps a server elsewhere: started bound to us, spoken to by a pipe.

It knows no message: bytes go in and come out.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import Final

import punie_trace
from punie_trace.bound_process import start_bound

GENERATOR: Final = "punie_trace.engine.fleet.generator"
END_S: Final = 4.0
_MOST_LOG: Final = 4000
_MOST_LINES: Final = 12


class ToldProcess:
    """`python -m MODULE FD`, with the other end of a pipe. Several threads may `send`, one `receive`.

    It works in `folder`, ours if None. It ends when this process does, however that ends, with all that it started.
    """

    def __init__(self, module: str, folder: Path | None = None) -> None:
        ours, theirs = Pipe()
        package = str(Path(punie_trace.__file__).parents[1])
        path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed at the end
        with theirs:
            self._process = start_bound(
                [sys.executable, "-m", module, str(theirs.fileno())],
                stdout=self._log.fileno(),
                stderr=subprocess.STDOUT,
                # As `punie-trace` itself, which may not be what started us: no plug-in of pydantic's is of use there.
                environment={"PYDANTIC_DISABLE_PLUGINS": "logfire-plugin", **os.environ, "PYTHONPATH": path},
                folder=folder,
                pass_fds=(theirs.fileno(),),
            )
        self._connection = ours
        self._sending = threading.Lock()

    def send(self, data: bytes) -> None:
        """Send one message. Raises `OSError` where the process is gone."""
        with self._sending:
            self._connection.send_bytes(data)

    def receive(self) -> bytes | None:
        """The next message; None where there will be no more."""
        try:
            return self._connection.recv_bytes()
        except (EOFError, OSError, TypeError):  # TypeError: it was closed while it was read
            return None

    def how_it_ended(self) -> str:
        """In words, after its last message."""
        with suppress(subprocess.TimeoutExpired):
            code = self._process.popen.wait(END_S)
            return f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it exited with code {code}"
        return "its connection was cut"

    def end(self) -> str:
        """End it and all that it started, in bounded time; returns the end of what it printed."""
        self._process.end(END_S)
        with self._sending, suppress(OSError):
            self._connection.close()
        with suppress(OSError, ValueError):
            size = self._log.seek(0, os.SEEK_END)
            self._log.seek(max(size - _MOST_LOG, 0))
            text = self._log.read().decode("utf-8", "replace")
            self._log.close()
            return "\n".join(text.strip().splitlines()[-_MOST_LINES:])
        return ""
