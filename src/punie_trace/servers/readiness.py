"""When a server may be measured: our process listens on the port, and a real one-token completion came back.

'/health' is not asked: mlx_lm answers it before the model is loaded. Every wait has a limit, and the death of the
process ends each of them at once. Starts and ends nothing.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
import httpx2
import psutil

from punie_trace.errors import ServerError
from punie_trace.servers import ports
from punie_trace.servers.process import ServerProcess

_SHOWN = 300
_LATER = frozenset({408, 425, 429})  # asked too early or too often; every 5xx counts likewise


@dataclass(frozen=True, slots=True)
class ServerTimeouts:
    """Limits on every wait for a server, in seconds."""

    ready_s: float = 600.0
    """From the start of the process to its first token."""
    connect_s: float = 5.0
    """How long a server that should already be running may refuse connections."""
    request_s: float = 30.0
    """One small request, such as listing models."""
    poll_s: float = 0.1
    stop_s: float = 10.0
    """From TERM to KILL."""


@dataclass(frozen=True, slots=True)
class FirstToken:
    """What the first completion said about who answered."""

    model: str | None
    fingerprint: str | None


class PortTakenError(ServerError):
    """Somebody else listens on the port that our process was given."""


class NotYetError(Exception):
    """The server answers, but not with a completion yet. `str(error)` says what it did."""


async def wait_listening(
    process: ServerProcess, host: str, port: int, timeouts: ServerTimeouts, deadline: float
) -> psutil.Process | None:
    """The process of ours that listens on `port`; None where the system hides who does, and somebody answers.

    Raises ServerError where the process ends or the deadline (monotonic seconds) passes, PortTakenError where a
    stranger listens.
    """
    while True:
        raise_if_ended(process, "before it was ready")
        try:
            found = ports.listener(process.processes(), port)
            # Asked again after a connection was accepted: ours may have begun to listen in between.
            if found is None and ports.accepts(host, port):
                found = ports.listener(process.processes(), port)
                if found is None and process.exit_code() is None:
                    msg = f"port {port} is answered by {ports.owner(port) or 'another program'}, not by our server"
                    raise PortTakenError(msg)
        except psutil.AccessDenied:
            if ports.accepts(host, port):
                return None
        else:
            if found is not None:
                return found
        if time.monotonic() > deadline:
            raise never_ready(process, timeouts, "it never listened on its port")
        await anyio.sleep(timeouts.poll_s)


async def first_token(client: httpx2.AsyncClient, model: str) -> FirstToken:
    """Ask for one token. Raises NotYetError where asking again may help, ServerError where it will not."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 1,
        "temperature": 0,
        "stream": False,
    }
    try:
        answer = await client.post("chat/completions", json=body)
    except httpx2.ConnectError as error:
        msg = f"it refuses connections ({error})"
        raise NotYetError(msg) from None
    except httpx2.HTTPError as error:
        msg = f"the connection broke ({type(error).__name__})"
        raise NotYetError(msg) from None
    text = " ".join(answer.text.split())[:_SHOWN]
    if answer.status_code != 200:
        msg = f"it answered {answer.status_code} to a one-token completion for model {model!r}: {text}"
        if answer.status_code >= 500 or answer.status_code in _LATER:
            raise NotYetError(msg)
        raise ServerError(f"{msg}. {_advice(answer.status_code)}")
    try:
        content = answer.json()
        _ = content["choices"][0]
        found = [content.get(name) for name in ("model", "system_fingerprint")]
    except (ValueError, LookupError, TypeError, AttributeError):
        msg = f"what answers {client.base_url} is no OpenAI-compatible server: {text or 'an empty answer'}"
        raise ServerError(msg) from None
    return FirstToken(*(value if isinstance(value, str) and value else None for value in found))


async def wait_answering(
    ask: Callable[[], Awaitable[FirstToken]], process: ServerProcess | None, timeouts: ServerTimeouts, deadline: float
) -> FirstToken:
    """Ask until an answer comes. Raises ServerError where asking cannot help, the process ends or the deadline passes.

    Without a `process` of ours, a server that only refuses connections is given up after `connect_s`.
    """
    give_up = time.monotonic() + timeouts.connect_s
    last = "it did not answer"
    while True:
        if process is not None:
            raise_if_ended(process, "before it was ready")
        try:
            with anyio.move_on_after(max(0.0, deadline - time.monotonic())):
                if (answer := await _unless_ended(ask, process, timeouts.poll_s)) is not None:
                    return answer
        except NotYetError as error:
            last = str(error)
        except ServerError as error:
            raise ServerError(str(error), process.log_tail() if process is not None else "") from None
        if process is None and time.monotonic() > give_up and "refuses" in last:
            msg = f"nothing is running there: {last}; start the server first, or use kind 'command' to have it started"
            raise ServerError(msg)
        if time.monotonic() > deadline:
            raise never_ready(process, timeouts, last)
        await anyio.sleep(timeouts.poll_s)


async def _unless_ended(
    ask: Callable[[], Awaitable[FirstToken]], process: ServerProcess | None, poll_s: float
) -> FirstToken | None:
    """What `ask` returns or raises; None where the process ended first."""
    answer: FirstToken | None = None
    problem: NotYetError | ServerError | None = None
    async with anyio.create_task_group() as group:

        async def watch(watched: ServerProcess) -> None:
            while watched.exit_code() is None:  # noqa: ASYNC110 - processes send no event
                await anyio.sleep(poll_s)
            group.cancel_scope.cancel()

        if process is not None:
            group.start_soon(watch, process)
        # Caught here, since a task group would wrap it into an ExceptionGroup.
        try:
            answer = await ask()
        except (NotYetError, ServerError) as error:
            problem = error
        group.cancel_scope.cancel()
    if problem is not None:
        raise problem
    return answer


def raise_if_ended(process: ServerProcess, when: str) -> None:
    """Raises ServerError with how the process ended and the end of its log; nothing while it runs."""
    failure = process.failure()
    if failure is not None:
        hint = "; it must stay in the foreground" if process.exit_code() == 0 else ""
        raise ServerError(f"the server {failure} {when}{hint}: {' '.join(process.argv)}", process.log_tail())


def never_ready(process: ServerProcess | None, timeouts: ServerTimeouts, last: str) -> ServerError:
    """The error for a server that is not ready in time."""
    msg = f"the server was not ready within {timeouts.ready_s:g} s: {last}; give it more time, or see its log"
    return ServerError(msg, process.log_tail() if process is not None else "")


def _advice(status: int) -> str:
    if status in {401, 403}:
        return "Name the environment variable that holds the key in api_key_env"
    if status == 404:
        return "Check the url and the model's name"
    return "Check the model and its options"
