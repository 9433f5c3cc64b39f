"""`open_server`: a server that is up, is the right one, and is gone afterwards.

Puts the other modules together in order: check the models, take a port, start the process, wait for its first token,
see who answers; on the way out, in whatever way, end it.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from punie_trace.errors import IdentityError, ServerError
from punie_trace.records import Generation
from punie_trace.servers import identity as identities
from punie_trace.servers import ports
from punie_trace.servers.blas import blas_advice, variables_for
from punie_trace.servers.command import build_server_command, process_part
from punie_trace.servers.config import ServerConfig, Startable
from punie_trace.servers.forgetting import forget
from punie_trace.servers.identity import Expected, ServedIdentity
from punie_trace.servers.keys import api_key
from punie_trace.servers.kinds import MlxConfig, UrlConfig
from punie_trace.servers.memory import MemoryReading, MemorySampler
from punie_trace.servers.models import check_models, is_hub_id
from punie_trace.servers.own_metrics import Counters, read_counters
from punie_trace.servers.process import ServerProcess, start_process
from punie_trace.servers.readiness import PortTakenError, ServerTimeouts, wait_listening
from punie_trace.servers.recognition import Recognized, Waiting, recognize_running, recognize_started
from punie_trace.servers.setup_checks import check_program

_ATTEMPTS = 3  # another program may take a free port between our finding it and the server's binding it
_THREAD_DIED = "generation thread died"  # mlx_lm/server.py: it goes on listening, and answers nothing any more


@dataclass(frozen=True, slots=True, eq=False)
class Server:
    """A server that was ready when it was handed out."""

    config: ServerConfig
    base_url: str
    """'http://host:port/v1', without a slash at the end."""
    request_model: str
    """What each request's `model` must be."""
    identity: ServedIdentity
    expected: Expected
    """Under which names its answers may come."""
    notes: tuple[str, ...]
    """What the user should know: what could not be checked, what would make this server faster."""
    process: ServerProcess | None = None
    sampler: MemorySampler | None = None

    def verify(self, generation: Generation) -> None:
        """That `generation` came from this server and this model, and that the server still lives.

        Raises IdentityError for another model or fingerprint, ServerError with the end of the log for a dead server.
        """
        if (ended := self._ended()) is not None:
            raise ServerError(f"the server {ended}", self.log_tail())
        try:
            identities.check_generation(self.identity, self.request_model, self.expected, generation)
        except IdentityError as error:
            raise IdentityError(f"{self.base_url}: {error}") from None

    def failure(self) -> str | None:
        """How the server died ('exited with code 1'); None while it lives, and always for kind `url`."""
        return self._ended()

    async def forget(self) -> str | None:
        """Have the server forget what earlier requests taught it; None where it did, else why it did not."""
        return await forget(self.config, self.base_url)

    def memory(self) -> MemoryReading | None:
        """Memory of the server's process; None for kind `url` or where the system does not tell."""
        return None if self.sampler is None else self.sampler.peak()

    async def counters(self) -> Counters | None:
        """What it counts of itself at this moment; None for mlx_lm's and ours, and where it tells nothing known."""
        if isinstance(self.config, MlxConfig):
            return None
        return await read_counters(self.base_url, self.api_key())

    def log_tail(self) -> str:
        """The end of what the server printed, '' for kind `url`."""
        return "" if self.process is None else self.process.log_tail()

    def api_key(self) -> str | None:
        """The key named by `api_key_env`, read now; it is kept nowhere."""
        return api_key(self.config)

    def _ended(self) -> str | None:
        if self.process is None:
            return None
        if isinstance(self.config, MlxConfig) and _THREAD_DIED in self.log_tail():
            return "lost its generation thread and answers nothing any more"
        if (failure := self.process.failure()) is not None:
            return failure
        pid, port = self.identity.pid, self.identity.port
        if pid is not None and port is not None and not self.process.listens(pid, port) and self.process.processes():
            return f"no longer listens: its process {pid} has ended, though others that it started still run"
        return None


@asynccontextmanager
async def open_server(
    config: ServerConfig,
    *,
    log_path: Path,
    timeouts: ServerTimeouts | None = None,
    on_state: Callable[[str], None] | None = None,
    hidden: Sequence[str] = (),
) -> AsyncGenerator[Server, None]:
    """A ready server, ended on the way out. For kind `url` nothing is started or ended.

    The process gets `process_part(config)`: options that requests carry stay out of it, so the configurations of one
    `server_key` can share it. The values in `hidden` are kept out of its log. `on_state` hears 'starting', 'loading',
    'waiting: ...', 'ready', 'stopping', 'stopped'. Raises ModelError and ConfigurationError before anything starts,
    ServerError and IdentityError after.
    """
    limits = timeouts or ServerTimeouts()
    announce = on_state or (lambda _: None)
    waiting = Waiting(limits, time.monotonic() + limits.ready_s, announce)
    if isinstance(config, UrlConfig):
        announce("connecting")
        found = await recognize_running(config, waiting)
        announce("ready")
        yield _server(config, found, found.notes)
        return
    notes = await anyio.to_thread.run_sync(check_models, config)
    check_program(config)
    api_key(config)
    process, port = await _listening(config, log_path, waiting, hidden)
    sampler = MemorySampler(process.processes)
    try:
        sampler.start()
        found = await recognize_started(config, process, port, waiting)
        advice = blas_advice(found.identity.blas)
        announce("ready")
        notes = (*notes, *found.notes, *((advice,) if advice else ()))
        yield _server(config, found, notes, process, sampler)
    finally:
        try:
            announce("stopping")
        finally:  # whatever becomes of the announcement
            sampler.stop()
            await process.stop(limits.stop_s)
        announce("stopped")


def _server(
    config: ServerConfig,
    found: Recognized,
    notes: tuple[str, ...],
    process: ServerProcess | None = None,
    sampler: MemorySampler | None = None,
) -> Server:
    return Server(
        config=config,
        base_url=found.base_url,
        request_model=found.request_model,
        identity=found.identity,
        expected=found.expected,
        notes=notes,
        process=process,
        sampler=sampler,
    )


async def _listening(
    config: Startable, log_path: Path, waiting: Waiting, hidden: Sequence[str]
) -> tuple[ServerProcess, int]:
    """A process of ours that listens on the returned port; none is left where this raises."""
    limits, environment = waiting.limits, _environment(config, log_path.parent.absolute())
    for attempt in range(_ATTEMPTS):
        port = _port(config)
        argv = build_server_command(process_part(config), port)
        waiting.on_state("starting")
        added = variables_for(environment) if isinstance(config, MlxConfig) else {}
        preload = added.pop("LD_PRELOAD", "")  # for the server alone, not for what starts it
        process = start_process(argv, {**environment, **added}, preload, log_path, hidden)
        try:
            waiting.on_state("loading")
            await wait_listening(process, config.host, port, limits, waiting.deadline)
        except PortTakenError as error:
            await process.stop(limits.stop_s)
            if config.port is not None or attempt == _ATTEMPTS - 1:
                msg = f"{error}; leave port out to have a free one taken, or end that program"
                raise ServerError(msg, process.log_tail()) from None
        except BaseException:
            await process.stop(limits.stop_s)
            raise
        else:
            return process, port
    raise AssertionError  # the last attempt returns or raises


def _port(config: Startable) -> int:
    try:
        if config.port is None:
            return ports.free_port(config.host)
        taken = ports.in_use(config.host, config.port)
    except OSError as error:
        raise ServerError(f"cannot listen on {config.host}: {error.strerror or error}; check host and port") from None
    if taken:
        by = ports.owner(config.port)
        msg = f"port {config.port} is in use{f' by {by}' if by else ''}; end that program or leave port out"
        raise ServerError(msg)
    return config.port


def _environment(config: Startable, no_models: Path) -> dict[str, str]:
    environment = dict(os.environ) | {"PYTHONUNBUFFERED": "1"}
    if isinstance(config, MlxConfig):
        # What lies in the working folder must not stand in for a module of the server's.
        environment["PYTHONSAFEPATH"] = "1"
        if not any(is_hub_id(name) for name in (config.model_path, config.draft_model) if name):
            # mlx_lm's /v1/models scans the hub cache: an error where there is none, seconds where it is large. Any
            # folder without models in it does; offline, nothing is written there.
            environment |= {"HF_HUB_CACHE": str(no_models), "HF_HUB_OFFLINE": "1"}
    return environment | config.environment
