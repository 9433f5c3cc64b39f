"""A server's log file: its end, fit to be shown, and a limit that keeps a flood from filling the disk.

The server writes to the file itself, in append mode; this only reads, copies and shortens it.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from punie_trace.outside_text import printable

MOST_BYTES: Final = 64 * 1024 * 1024
"""Above this the file is shortened."""
KEPT_BYTES: Final = 8 * 1024 * 1024
"""Of its end, which then stands in a second file beside it."""
EVERY_S: Final = 0.2
_TAIL_BYTES: Final = 6000
_TAIL_LINES: Final = 40


def log_tail(path: Path) -> str:
    """The end of a log file, fit to be shown: whole lines, no control characters; '' where there is none."""
    text = _end_of(path, _TAIL_BYTES)
    if text is None:
        return ""
    lines = (line.rpartition("\r")[2] for line in text.replace("\r\n", "\n").split("\n"))
    clean = [printable(line) for line in lines]
    return "\n".join(clean[-_TAIL_LINES:]).strip()


def older_part(path: Path) -> Path:
    """Where the end of what was cut off a log stands."""
    return path.with_name(f"{path.name}.1")


class LogLimit:
    """Keeps the file at `path` from growing without bound, in a thread, between `start` and `stop`."""

    def __init__(self, path: Path, most: int = MOST_BYTES, kept: int = KEPT_BYTES) -> None:
        self.path = path
        self.cut_bytes = 0
        """How much was cut off so far."""
        self._most = most
        self._kept = kept
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-limit", daemon=True)

    def start(self) -> None:
        """Begin to watch. Once."""
        self._thread.start()

    def stop(self) -> None:
        """Look a last time, and end the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self.check()

    def check(self) -> None:
        """Shorten the file if it is too long. A few lines that are written meanwhile may be lost."""
        with suppress(OSError):
            size = self.path.stat().st_size
            if size <= self._most:
                return
            with self.path.open("rb") as opened, older_part(self.path).open("wb") as older:
                opened.seek(-self._kept, os.SEEK_END)
                older.write(opened.read(self._kept))
            os.truncate(self.path, 0)
            self.cut_bytes += size
            with self.path.open("ab") as appended:
                name = older_part(self.path).name
                appended.write(
                    b"[punie-trace: the log had %d bytes; the end of them is in %s]\n" % (size, name.encode())
                )

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            self.check()


def _end_of(path: Path, most: int) -> str | None:
    try:
        with path.open("rb") as opened:
            size = opened.seek(0, os.SEEK_END)
            opened.seek(max(0, size - most))
            text = opened.read(most).decode(errors="replace")
    except OSError:
        return None
    return (text.partition("\n")[2] or text) if size > most else text
