"""Where generators stand, and how to talk to them: here, processes of this machine that end with us, however we end."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from punie_trace.engine.fleet.process import GENERATOR, ToldProcess
from punie_trace.errors import ConfigurationError


class Lost:
    """In place of a message: the connection ended, and why as far as is known."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


Heard = Callable[[object, int], None]
"""(a message or `Lost`, when it came in monotonic ns); called from a thread."""


class Post(Protocol):
    """A process somewhere that takes messages and sends some, and the disk that it writes to."""

    @property
    def where(self) -> str:
        """Its place, for people."""
        ...

    def listen(self, heard: Heard) -> None:
        """Have every message given to `heard`, and at last a `Lost`."""
        ...

    def send(self, message: object) -> None:
        """Send it. Raises `OSError` where the line is cut; `Lost` then follows."""
        ...

    def folder(self, part: Path) -> str:
        """Where it has to write what shall be in `part`."""
        ...

    def bring_home(self, part: Path) -> str | None:
        """Bring what it wrote into `part`, where that is another disk; returns what went wrong."""
        ...

    def end(self) -> str:
        """End it and all that it started, in bounded time; returns the end of what it printed."""
        ...


class Places(Protocol):
    """Where processes of a run can be started."""

    def generators(self) -> Sequence[Post]:
        """Start all of the run's generators. Raises `PunieTraceError`."""
        ...

    def on_node(self, node: str, module: str) -> Post:
        """Start a process of `module` on the node of that name. Raises `PunieTraceError`."""
        ...


@dataclass(frozen=True, slots=True)
class Here:
    """This machine, for so many generators."""

    many: int

    def generators(self) -> Sequence[Post]:
        """As `Places`."""
        return [LocalPost() for _ in range(self.many)]

    def on_node(self, node: str, module: str) -> Post:  # noqa: ARG002
        """As `Places`: there are no nodes."""
        raise ConfigurationError(f"node = {node!r} places a server on a Ray cluster, and there is none: add --ray")


class LocalPost:
    """A process of this machine, which writes straight into the run's folder."""

    where = "this machine"

    def __init__(self) -> None:
        self._process = ToldProcess(GENERATOR)

    def listen(self, heard: Heard) -> None:
        """As `Post`."""
        threading.Thread(target=self._read, args=(heard,), name="post", daemon=True).start()

    def send(self, message: object) -> None:
        """As `Post`."""
        self._process.send(pickle.dumps(message))

    def folder(self, part: Path) -> str:
        """As `Post`: the part itself."""
        return str(part.absolute())

    def bring_home(self, part: Path) -> str | None:  # noqa: ARG002
        """As `Post`: it is there."""
        return None

    def end(self) -> str:
        """As `Post`."""
        return self._process.end()

    def _read(self, heard: Heard) -> None:
        while (data := self._process.receive()) is not None:
            heard(pickle.loads(data), time.monotonic_ns())  # noqa: S301 - from a process that we started
        heard(Lost(self._process.how_it_ended()), time.monotonic_ns())
