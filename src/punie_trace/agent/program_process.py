"""One program while it answers one query: its folder, its process, what it printed and what it left behind.

It is told nothing of servers or of the proxy. Its time is over when the program itself has ended; what that started and
left is ended after that, in nobody's time.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import anyio
from anyio import CapacityLimiter, to_thread

from punie_trace.bound_process import BoundProcess, start_bound

MOST_OUTPUT_BYTES: Final = 16 * 2**20
"""What a program may print before it is ended; of the answer, as much as `MOST_ANSWER_CHARS` is kept."""
MOST_ANSWER_CHARS: Final = 256 * 1024
MOST_KEPT_CHARS: Final = 64 * 1024
"""Of each of a program's two outputs, so much of its end is kept with the run."""
MOST_KEPT_BYTES: Final = 64 * 2**20
"""Of all outputs of one configuration together."""
_WATCH_S: Final = 0.05
_TAIL_CHARS: Final = 600
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


class ProgramFolder:
    """A folder of one query's own, with the copy of the workspace where it works in one."""

    def __init__(self, root: Path, workspace: Path) -> None:
        self.root = root
        self.workspace = workspace
        self.files = root / "files"
        self.out = root / "out"
        self.err = root / "err"

    @classmethod
    def make(cls, workspace: Path, *, copy: bool) -> ProgramFolder:
        """Make it. It blocks for as long as copying takes. Raises `OSError` and `shutil.Error`."""
        root = Path(tempfile.mkdtemp(prefix="punie-trace-"))
        folder = cls(root, root / "workspace" if copy else workspace)
        try:
            folder.files.mkdir()
            if copy:
                shutil.copytree(workspace, folder.workspace, symlinks=True, ignore_dangling_symlinks=True)
        except BaseException:
            folder.remove()
            raise
        return folder

    def of_turn(self, number: int) -> ProgramFolder:
        """The same folder, with outputs of the turn's own; turns are counted from 0."""
        one = ProgramFolder(self.root, self.workspace)
        if number:
            one.out, one.err = self.root / f"out-{number}", self.root / f"err-{number}"
        return one

    def remove(self) -> None:
        """Remove it, as far as it can be."""
        shutil.rmtree(self.root, ignore_errors=True)


class ProgramProcess:
    """A program that runs in its query's folder. `end` has to be called, whatever becomes of it."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], folder: ProgramFolder) -> None:
        self.folder = folder
        with folder.out.open("wb") as stdout, folder.err.open("wb") as stderr:
            self._process: BoundProcess = start_bound(
                argv, stdout=stdout, stderr=stderr, environment=environment, folder=folder.workspace, reports=True
            )

    async def wait(self, threads: CapacityLimiter) -> tuple[int, str | None]:
        """Its exit code (negative for a signal) once it has ended; and why it was not waited for, if it was not."""
        too_much: str | None = None
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                nonlocal too_much
                while True:
                    await anyio.sleep(_WATCH_S)
                    if self.folder.out.stat().st_size + self.folder.err.stat().st_size > MOST_OUTPUT_BYTES:
                        too_much = f"the program printed more than {MOST_OUTPUT_BYTES // 2**20} MiB and was ended"
                        await to_thread.run_sync(self._process.end, limiter=threads)
                        return

            tasks.start_soon(watch)
            await anyio.wait_readable(self._process.report)
            tasks.cancel_scope.cancel()
        return self._process.reported(), too_much

    def end(self) -> tuple[str, ...]:
        """End it and all that it started. Returns the names of what it left running when it had ended itself."""
        self._process.end()
        return self._process.left_behind()

    def tail(self) -> str:
        """The last words that it printed, of its errors where there are any."""
        return " ".join((text_in(self.folder.err) or text_in(self.folder.out))[-_TAIL_CHARS:].split())


class KeptOutputs:
    """Keeps what programs print in a folder of the run: the end of each, until there is too much of it.

    `hide` takes out of a text what must not be kept.
    """

    def __init__(self, folder: Path, hide: Callable[[str], str] = str) -> None:
        self._folder = folder
        self._hide = hide
        self._left = MOST_KEPT_BYTES

    def keep(self, name: str, folder: ProgramFolder) -> None:
        """Write `name`.txt with both outputs. It blocks; what cannot be written is not kept."""
        if self._left <= 0:
            return
        parts = [f"--- {what} ---\n{text}\n" for what, path in (("printed", folder.out), ("errors", folder.err))
                 if (text := self._hide(text_in(path))[-MOST_KEPT_CHARS:].strip())]  # fmt: skip
        text = "".join(parts)
        self._left -= len(text)
        with suppress(OSError):
            if text:
                self._folder.mkdir(parents=True, exist_ok=True)
                (self._folder / f"{name}.txt").write_text(text, encoding="utf-8")


def text_in(path: Path) -> str:
    """The end of a text file, as far as an answer may go, without what colours it; '' where there is none."""
    with suppress(OSError), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - MOST_ANSWER_CHARS))
        return _ANSI.sub("", file.read().decode("utf-8", errors="replace"))
    return ""


async def made_folder(workspace: Path, *, copy: bool, threads: CapacityLimiter) -> ProgramFolder:
    """`ProgramFolder.make` beside the event loop."""
    return await to_thread.run_sync(partial(ProgramFolder.make, workspace, copy=copy), limiter=threads)
