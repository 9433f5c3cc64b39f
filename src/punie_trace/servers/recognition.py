"""Who answers at an address: the first token, the model that made it, and what the server tells of itself.

Nothing is started or ended here. What may differ between the name that was asked for and the one that answers is
decided by `identity`.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import anyio
import httpx2

from punie_trace.errors import IdentityError, ServerError
from punie_trace.http_clients import async_client
from punie_trace.outside_text import one_line
from punie_trace.servers import addresses, identity
from punie_trace.servers.blas import mapped_blas
from punie_trace.servers.config import ServerConfig, Startable
from punie_trace.servers.identity import DEFAULT_MODEL, Expected, ServedIdentity
from punie_trace.servers.keys import api_key
from punie_trace.servers.kinds import MlxConfig, PunieConfig, UrlConfig
from punie_trace.servers.models import is_hub_id, local_folder
from punie_trace.servers.probe import FirstToken, NotYetError, first_token, listed_models, only_model
from punie_trace.servers.process import ServerProcess
from punie_trace.servers.readiness import ServerTimeouts, raise_if_ended, wait_answering, wait_listening


@dataclass(frozen=True, slots=True)
class Recognized:
    """A server that answered, and as whom."""

    base_url: str
    request_model: str
    """What each request's `model` must be."""
    identity: ServedIdentity
    expected: Expected
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long to wait for an answer, and who hears of it. `deadline` in seconds of `time.monotonic`."""

    limits: ServerTimeouts
    deadline: float
    on_state: Callable[[str], None]


async def recognize_started(config: Startable, process: ServerProcess, port: int, waiting: Waiting) -> Recognized:
    """The server of `process` on `port`. Raises ServerError, and IdentityError where another model answers."""
    base_url, limits = addresses.base_url(config.host, port), waiting.limits
    async with _client(config, base_url, limits) as client:
        first, model, listed = await _first(client, config, process, waiting)
        expected, note = identity.identified(config, model, first, listed)
        # Still ours, after loading.
        listening = await wait_listening(process, config.host, port, limits, waiting.deadline)
        pid = next((found.pid for found in (listening, *process.processes()) if found is not None), None)
        served = ServedIdentity(config.kind, first.model or model, fingerprint=first.fingerprint, pid=pid, port=port)
        if isinstance(config, MlxConfig):
            served = await _mlx_lm_identity(config, served, client, limits)
        raise_if_ended(process, "before it was measured")
    return Recognized(base_url, model, served, expected, () if note is None else (note,))


async def recognize_running(config: UrlConfig, waiting: Waiting) -> Recognized:
    """The server that already runs at `config.url`. Raises ServerError, IdentityError, ConfigurationError."""
    base_url = addresses.base_url_of(config.url)
    async with _client(config, base_url, waiting.limits) as client:
        try:
            first, model, listed = await _first(client, config, None, waiting)
            expected, note = identity.identified(config, model, first, listed)
        except IdentityError as error:
            raise IdentityError(f"{base_url}: {error}") from None
        except ServerError as error:
            raise ServerError(f"{base_url}: {error}") from None
    served = ServedIdentity("url", first.model or model, fingerprint=first.fingerprint, port=client.base_url.port)
    return Recognized(base_url, model, served, expected, () if note is None else (note,))


async def _first(
    client: httpx2.AsyncClient, config: ServerConfig, process: ServerProcess | None, waiting: Waiting
) -> tuple[FirstToken, str, list[str] | None]:
    """The first token, the model's name as it must be asked for, and the names that the server lists where asked."""
    model = DEFAULT_MODEL if isinstance(config, MlxConfig) else config.model
    listed: list[str] | None = None
    request_s = waiting.limits.request_s

    async def ask() -> FirstToken:
        nonlocal model, listed
        if model is None:
            listed = await listed_models(client, limit_s=request_s)
            model = only_model(listed, config.served_model)
        return await first_token(client, model, limit_s=max(1.0, waiting.deadline - time.monotonic()))

    first = await wait_answering(ask, process, waiting.limits, waiting.deadline, waiting.on_state)
    assert model is not None
    if listed is None and first.model not in (None, model) and not isinstance(config, MlxConfig):
        # Whether the server itself knows the name that was asked for tells an alias from another model.
        with suppress(NotYetError, ServerError):
            listed = await listed_models(client, limit_s=request_s)
    return first, model, listed


async def _mlx_lm_identity(
    config: MlxConfig, served: ServedIdentity, client: httpx2.AsyncClient, limits: ServerTimeouts
) -> ServedIdentity:
    name = config.model_path
    if not is_hub_id(name):
        name = str(local_folder(name))
        try:
            identity.check_served(name, await listed_models(client, limit_s=limits.request_s))
        except NotYetError as error:
            raise ServerError(f"its list of models cannot be read: {error}") from None
    digests = await anyio.to_thread.run_sync(identity.digests, name, config.draft_model, abandon_on_cancel=True)
    if isinstance(config, PunieConfig):
        identity.check_digests(digests, await identity.own_identity(client, served.port, limits.request_s))
    fingerprint = served.fingerprint and one_line(served.fingerprint)
    return replace(
        served,
        model=name,
        draft_model=config.draft_model and str(local_folder(config.draft_model) or config.draft_model),
        weights_digest=digests.weights,
        digest_kind=digests.kind,
        draft_digest=digests.draft,
        version=identity.mlx_lm_version(),
        blas=mapped_blas(served.pid) if served.pid is not None else None,
        device=identity.device_of(fingerprint, platform.platform()),
    )


def _client(config: ServerConfig, base_url: str, limits: ServerTimeouts) -> httpx2.AsyncClient:
    key = api_key(config)
    return async_client(
        f"{base_url}/",
        headers={"Authorization": f"Bearer {key}"} if key else {},
        # The first answer waits for the model to load; its limit is the deadline around it.
        timeout=httpx2.Timeout(limits.ready_s, connect=limits.request_s),
    )
