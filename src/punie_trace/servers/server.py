"""`open_server`: a server that is up, is the right one, and is gone afterwards.

Puts the other modules together in order: check the models, take a port, start the process, wait for its first token,
see who answers; on the way out, in whatever way, end it.
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx2

from punie_trace.errors import ConfigurationError, IdentityError, ServerError
from punie_trace.records import Generation
from punie_trace.servers import addresses, ports
from punie_trace.servers import identity as who
from punie_trace.servers.blas import blas_advice, mapped_blas, variables_for
from punie_trace.servers.command import build_server_command, process_part
from punie_trace.servers.config import ServerConfig, Startable
from punie_trace.servers.identity import DEFAULT_MODEL, ServedIdentity
from punie_trace.servers.kinds import MlxConfig, PunieConfig, UrlConfig
from punie_trace.servers.memory import MemoryReading, MemorySampler
from punie_trace.servers.models import check_models, is_hub_id, local_folder
from punie_trace.servers.process import ServerProcess, start_process
from punie_trace.servers.readiness import (
    FirstToken,
    PortTakenError,
    ServerTimeouts,
    first_token,
    raise_if_ended,
    wait_answering,
    wait_listening,
)

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
    notes: tuple[str, ...]
    """What the user should know: what could not be checked, what would make this server faster."""
    names_model: bool
    process: ServerProcess | None
    sampler: MemorySampler | None

    def verify(self, generation: Generation) -> None:
        """That `generation` came from this server and this model, and that the server still lives.

        Raises IdentityError for another model or fingerprint, ServerError with the end of the log for a dead server.
        """
        if (ended := self._ended()) is not None:
            raise ServerError(f"the server {ended}", self.log_tail())
        try:
            who.check_generation(self.identity, self.request_model, self.names_model, generation)
        except IdentityError as error:
            raise IdentityError(f"{self.base_url}: {error}") from None

    def failure(self) -> str | None:
        """How the server died, with the end of its log; None while it lives, and always for kind `url`."""
        ended = self._ended()
        return None if ended is None else f"the server {ended}\n{self.log_tail()}".strip()

    def memory(self) -> MemoryReading | None:
        """Memory of the server's process; None for kind `url` or where the system does not tell."""
        return None if self.sampler is None else self.sampler.peak()

    def log_tail(self) -> str:
        """The end of what the server printed, '' for kind `url`."""
        return "" if self.process is None else self.process.log_tail()

    def _ended(self) -> str | None:
        if self.process is None:
            return None
        if isinstance(self.config, MlxConfig) and _THREAD_DIED in self.log_tail():
            return "lost its generation thread and answers nothing any more"
        return self.process.failure()

    def api_key(self) -> str | None:
        """The key named by `api_key_env`, read now; it is kept nowhere."""
        return _api_key(self.config)


@asynccontextmanager
async def open_server(
    config: ServerConfig,
    *,
    log_path: Path,
    timeouts: ServerTimeouts | None = None,
    on_state: Callable[[str], None] | None = None,
) -> AsyncGenerator[Server, None]:
    """A ready server, ended on the way out. For kind `url` nothing is started or ended.

    The process gets `process_part(config)`: options that requests carry stay out of it, so the configurations of one
    `server_key` can share it. `on_state` hears 'starting', 'loading', 'ready', 'stopping', 'stopped'. Raises
    ModelError and ConfigurationError before anything starts, ServerError and IdentityError after.
    """
    limits = timeouts or ServerTimeouts()
    say = on_state or (lambda _: None)
    if isinstance(config, UrlConfig):
        yield await _attach(config, limits, say)
        return
    notes = await anyio.to_thread.run_sync(check_models, config)
    environment = _environment(config, log_path.parent.absolute())
    deadline = time.monotonic() + limits.ready_s
    process, port = await _listening(config, environment, log_path, limits, deadline, say)
    sampler = MemorySampler(process.processes)
    try:
        sampler.start()
        server = await _identified(config, process, port, limits, deadline, sampler)
        advice = blas_advice(server.identity.blas)
        say("ready")
        yield replace(server, notes=(*notes, *((advice,) if advice else ())))
    finally:
        try:
            say("stopping")
        finally:  # whatever becomes of the saying
            sampler.stop()
            await process.stop(limits.stop_s)
        say("stopped")


async def _listening(
    config: Startable,
    environment: Mapping[str, str],
    log_path: Path,
    limits: ServerTimeouts,
    deadline: float,
    say: Callable[[str], None],
) -> tuple[ServerProcess, int]:
    """A process of ours that listens on the returned port; none is left where this raises."""
    for attempt in range(_ATTEMPTS):
        port = _port(config)
        argv = build_server_command(process_part(config), port)
        if shutil.which(argv[0], path=environment.get("PATH")) is None:
            msg = f"the command {argv[0]!r} was not found or is not executable; check its name and PATH"
            raise ConfigurationError(msg)
        say("starting")
        added = variables_for(environment) if isinstance(config, MlxConfig) else {}
        preload = added.pop("LD_PRELOAD", "")  # for the server alone, not for what starts it
        process = start_process(argv, {**environment, **added}, preload, log_path)
        try:
            say("loading")
            await wait_listening(process, config.host, port, limits, deadline)
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


async def _identified(
    config: Startable,
    process: ServerProcess,
    port: int,
    limits: ServerTimeouts,
    deadline: float,
    sampler: MemorySampler,
) -> Server:
    base_url = addresses.base_url(config.host, port)
    async with _client(config, base_url, limits, local=True) as client:
        model = DEFAULT_MODEL if isinstance(config, MlxConfig) else config.model
        first, model = await _first(client, model, process, limits, deadline)
        if first.model is not None or isinstance(config, MlxConfig):
            who.check_answered(model, first.model, config.kind)
        listening = await wait_listening(process, config.host, port, limits, deadline)  # still ours, after loading
        pid = next((found.pid for found in (listening, *process.processes()) if found is not None), None)
        served = ServedIdentity(config.kind, first.model or model, fingerprint=first.fingerprint, pid=pid, port=port)
        if isinstance(config, MlxConfig):
            served = await _mlx_lm_identity(config, served, client)
        raise_if_ended(process, "before it was measured")
    return Server(config, base_url, model, served, (), first.model is not None, process, sampler)


async def _mlx_lm_identity(config: MlxConfig, served: ServedIdentity, client: httpx2.AsyncClient) -> ServedIdentity:
    name = config.model_path
    if not is_hub_id(name):
        name = str(local_folder(name))
        who.check_served(name, await who.listed_models(client))
    digests = await anyio.to_thread.run_sync(who.digests, name, config.draft_model, abandon_on_cancel=True)
    if isinstance(config, PunieConfig):
        who.check_digests(digests, await who.own_identity(client, served.port))
    return replace(
        served,
        model=name,
        draft_model=config.draft_model and str(local_folder(config.draft_model) or config.draft_model),
        weights_digest=digests.weights,
        digest_kind=digests.kind,
        draft_digest=digests.draft,
        version=who.mlx_lm_version(),
        blas=mapped_blas(served.pid) if served.pid is not None else None,
        device=who.device_of(served.fingerprint, platform.platform()),
    )


async def _attach(config: UrlConfig, limits: ServerTimeouts, say: Callable[[str], None]) -> Server:
    base_url = addresses.base_url_of(config.url)
    local = addresses.is_local(base_url)
    say("connecting")
    async with _client(config, base_url, limits, local) as client:
        try:
            first, model = await _first(client, config.model, None, limits, time.monotonic() + limits.ready_s)
            if first.model is not None:
                who.check_answered(model, first.model, "url")
        except IdentityError as error:
            raise IdentityError(f"{base_url}: {error}") from None
        except ServerError as error:
            raise ServerError(f"{base_url}: {error}") from None
    say("ready")
    served = ServedIdentity("url", first.model or model, fingerprint=first.fingerprint, port=urlsplit(base_url).port)
    return Server(config, base_url, model, served, (), first.model is not None, None, None)


async def _first(
    client: httpx2.AsyncClient,
    model: str | None,
    process: ServerProcess | None,
    limits: ServerTimeouts,
    deadline: float,
) -> tuple[FirstToken, str]:
    """The first token, and the model's name as it must be asked for."""
    found: list[str] = [] if model is None else [model]

    async def ask() -> FirstToken:
        if not found:
            found.append(await who.only_model(client))
        return await first_token(client, found[0])

    return await wait_answering(ask, process, limits, deadline), found[0]


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


def _client(config: ServerConfig, base_url: str, limits: ServerTimeouts, local: bool) -> httpx2.AsyncClient:
    key = _api_key(config)
    return httpx2.AsyncClient(
        base_url=f"{base_url}/",
        headers={"Authorization": f"Bearer {key}"} if key else {},
        # The first answer waits for the model to load; its limit is the deadline around it.
        timeout=httpx2.Timeout(limits.ready_s, connect=limits.request_s),
        trust_env=not local,  # no proxy between us and loopback
    )


def _api_key(config: ServerConfig) -> str | None:
    if config.api_key_env is None:
        return None
    own = {} if isinstance(config, UrlConfig) else config.environment
    key = own.get(config.api_key_env) or os.environ.get(config.api_key_env)
    if not key:
        msg = f"api_key_env names {config.api_key_env}, which is not set; export it and run again"
        raise ConfigurationError(msg)
    return key
