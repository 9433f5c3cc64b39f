"""Servers on nodes of a cluster, as a runner has them: each has a keeper there, and is gone with it."""

from __future__ import annotations

import queue
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

import anyio

from punie_trace.engine.bring_up import ServedGroups
from punie_trace.engine.fleet.clock_identity import clock_id
from punie_trace.engine.fleet.messages import (
    CloseServer,
    OpenServer,
    ServerClosed,
    ServerFailed,
    ServerMemory,
    ServerOpened,
    ServerState,
)
from punie_trace.engine.fleet.post import Lost, Post
from punie_trace.errors import ServerError
from punie_trace.servers.config import ServerConfig, node_of
from punie_trace.servers.memory import MemoryReading
from punie_trace.servers.own_metrics import Counters
from punie_trace.servers.readiness import ServerTimeouts
from punie_trace.servers.server import Server

KEEPER: Final = "punie_trace.engine.fleet.keeper"
GRACE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Placed:
    """What is known of a server elsewhere, as it changes."""

    clock_id: str
    problem: list[ServerFailed] = field(default_factory=list)
    memory: list[MemoryReading] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class PlacedServer(Server):
    """A server on a node: alive as long as its keeper tells nothing else."""

    placed: Placed = field(default_factory=lambda: Placed(""))

    def failure(self) -> str | None:
        """As `Server`."""
        return self.placed.problem[0].problem if self.placed.problem else None

    def log_tail(self) -> str:
        """As `Server`."""
        return self.placed.problem[0].log_tail if self.placed.problem else ""

    def memory(self) -> MemoryReading | None:
        """As `Server`: what was last told."""
        return self.placed.memory[0] if self.placed.memory else None

    async def counters(self) -> Counters | None:
        """None: its node may be one that this host does not reach."""
        return None


def facts_of(server: Server) -> Server:
    """What others need to ask it, without what belongs to this process."""
    own = {one.name: getattr(server, one.name) for one in fields(Server) if one.name not in ("process", "sampler")}
    return Server(**own)


def clock_of_server(server: Server) -> str:
    """The clock of its host; this host's for one that runs here, or that a URL leads to."""
    return server.placed.clock_id if isinstance(server, PlacedServer) else clock_id()


@dataclass(frozen=True)
class PlacedGroups(ServedGroups):
    """Server groups of which some run on nodes. `on_node` starts a process of a module on the node of that name."""

    on_node: Callable[[str, str], Post]

    def _open(
        self, config: ServerConfig, log: Path, timeouts: ServerTimeouts, on_state: Callable[[str], None]
    ) -> AbstractAsyncContextManager[Server]:
        node = node_of(config)
        if node is None:
            return super()._open(config, log, timeouts, on_state)
        return self._elsewhere(node, config, log, timeouts, on_state)

    @asynccontextmanager
    async def _elsewhere(
        self, node: str, config: ServerConfig, log: Path, timeouts: ServerTimeouts, on_state: Callable[[str], None]
    ) -> AsyncGenerator[Server]:
        on_state(f"placing on {node}")
        post = await anyio.to_thread.run_sync(self.on_node, node, KEEPER)
        heard: queue.SimpleQueue[object] = queue.SimpleQueue()
        placed: Placed | None = None

        def hear(message: object, _: int) -> None:
            if placed is not None and isinstance(message, ServerFailed | Lost):
                lost = isinstance(message, Lost)
                placed.problem.append(ServerFailed(f"was lost: {message.reason}", "") if lost else message)
            if placed is not None and isinstance(message, ServerMemory):
                placed.memory[:] = [message.reading]
            heard.put(message)

        try:
            post.listen(hear)
            hidden = self.writer.secrets.values
            post.send(OpenServer(config, post.folder(log.with_suffix("")), log.stem, timeouts, hidden))
            opened = await self._until_open(heard, timeouts.ready_s + GRACE_S, on_state)
            placed = Placed(opened.clock_id)
            facts = {one.name: getattr(opened.server, one.name) for one in fields(Server)}
            yield PlacedServer(**facts, placed=placed)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._close, post, heard, log, timeouts.stop_s + GRACE_S)

    async def _until_open(
        self, heard: queue.SimpleQueue[object], limit_s: float, on_state: Callable[[str], None]
    ) -> ServerOpened:
        """Raises `ServerError` where it does not get ready."""
        with anyio.move_on_after(limit_s):
            while True:
                with suppress(queue.Empty):
                    match heard.get_nowait():
                        case ServerState() as state:
                            on_state(state.text)
                        case ServerOpened() as opened:
                            return opened
                        case ServerFailed() as failed:
                            raise ServerError(failed.problem, failed.log_tail)
                        case Lost() as lost:
                            raise ServerError(f"the process that keeps it was lost: {lost.reason}")
                    continue
                await anyio.sleep(0.05)
        raise ServerError(f"it was not ready on its node within {limit_s:g} s")

    def _close(self, post: Post, heard: queue.SimpleQueue[object], log: Path, limit_s: float) -> None:
        """The server ended, its log in its place, and its keeper gone."""
        with suppress(OSError, queue.Empty):
            post.send(CloseServer())
            while not isinstance(heard.get(timeout=limit_s), Lost | ServerClosed):
                pass
        folder = log.with_suffix("")
        post.bring_home(folder)
        with suppress(OSError):
            (folder / log.name).replace(log)
            folder.rmdir()
        post.end()
