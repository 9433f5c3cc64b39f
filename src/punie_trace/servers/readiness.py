"""When a server may be measured: our process listens on the port, and a real one-token completion came back.

'/health' is not asked: mlx_lm answers it before the model is loaded. Every wait has a limit, and the death of the
process ends each of them at once. Starts and ends nothing.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
import psutil

from punie_trace.errors import ServerError
from punie_trace.servers import ports
from punie_trace.servers.probe import FirstToken, NotYetError
from punie_trace.servers.process import ServerProcess
from punie_trace.servers.stalled import StallWatch


@dataclass(frozen=True, slots=True)
class ServerTimeouts:
    """Limits on every wait for a server, in seconds."""

    ready_s: float = 600.0
    """From the start of the process to its first token."""
    connect_s: float = 5.0
    """How long a server that should already be running may refuse connections."""
    request_s: float = 30.0
    """One small request, such as listing models."""
    broken_s: float = 20.0
    """How long a server may answer every request with an error that a loading one does not give."""
    stalled_s: float = 10.0
    """How long a server of ours may do nothing at all after it printed a traceback."""
    poll_s: float = 0.1
    """Between two looks or tries; it grows to `slow_poll_s` while a server keeps answering that it is not ready."""
    slow_poll_s: float = 2.0
    stop_s: float = 10.0
    """From TERM to KILL."""


class PortTakenError(ServerError):
    """Somebody else listens on the port that our process was given."""


async def wait_listening(
    process: ServerProcess, host: str, port: int, timeouts: ServerTimeouts, deadline: float
) -> psutil.Process | None:
    """The process of ours that listens on `port`; None where the system hides who does, and somebody answers.

    Raises ServerError where the process ends or the deadline (monotonic seconds) passes, PortTakenError where a
    stranger listens.
    """
    stalling = StallWatch(process, timeouts.stalled_s)
    hidden = ports.processes_are_hidden()
    while True:
        raise_if_ended(process, "before it was ready")
        _raise_if_stalled(process, stalling)
        try:
            found = ports.listener(process.processes(), port)
            # Asked again after a connection was accepted: ours may have begun to listen in between.
            if found is None and ports.accepts(host, port):
                found = ports.listener(process.processes(), port)
                if found is None and process.exit_code() is None:
                    if hidden:
                        return None
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


async def wait_answering(
    ask: Callable[[], Awaitable[FirstToken]],
    process: ServerProcess | None,
    timeouts: ServerTimeouts,
    deadline: float,
    on_state: Callable[[str], None],
) -> FirstToken:
    """Ask until an answer comes. Raises ServerError where asking cannot help, the process ends or the deadline passes.

    Without a `process` of ours, a server that only refuses connections is given up after `connect_s`; one that answers
    with errors that do not go away, after `broken_s`. `on_state` hears of each new reason to wait.
    """
    started = time.monotonic()
    broken_since: float | None = None
    last, tries, pause_s = "it did not answer", 0, timeouts.poll_s
    stalling = None if process is None else StallWatch(process, timeouts.stalled_s)
    while True:
        if process is not None and stalling is not None:
            raise_if_ended(process, "before it was ready")
            _raise_if_stalled(process, stalling)
        tries += 1
        try:
            with anyio.move_on_after(max(0.0, deadline - time.monotonic())):
                if (answer := await _unless_ended(ask, process, stalling, timeouts.poll_s)) is not None:
                    return answer
        except NotYetError as error:
            if str(error) != last:
                on_state(f"waiting: {error}")
            last = str(error)
            now = time.monotonic()
            broken_since = (now if broken_since is None else broken_since) if error.broken else None
            if process is None and error.refused and now - started > timeouts.connect_s:
                msg = f"nothing is running there: {last}; start the server first, or use kind 'command' to start it"
                raise ServerError(msg) from None
            if broken_since is not None and now - broken_since > timeouts.broken_s:
                msg = f"{last} (asked {tries} times in {now - started:.0f} s); see its log, or check the model's name"
                raise ServerError(msg, _log_of(process)) from None
        except ServerError as error:
            raise ServerError(str(error), _log_of(process)) from None
        if time.monotonic() > deadline:
            raise never_ready(process, timeouts, last)
        await anyio.sleep(pause_s)
        pause_s = min(1.5 * pause_s, max(timeouts.slow_poll_s, timeouts.poll_s))


async def _unless_ended(
    ask: Callable[[], Awaitable[FirstToken]], process: ServerProcess | None, stalling: StallWatch | None, poll_s: float
) -> FirstToken | None:
    """What `ask` returns or raises; None where the process ended, or stalled, first."""
    answer: FirstToken | None = None
    problem: NotYetError | ServerError | None = None
    async with anyio.create_task_group() as group:

        async def watch(watched: ServerProcess, stalling: StallWatch) -> None:
            while watched.exit_code() is None and stalling.problem() is None:  # noqa: ASYNC110 - they send no event
                await anyio.sleep(poll_s)
            group.cancel_scope.cancel()

        if process is not None and stalling is not None:
            group.start_soon(watch, process, stalling)
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


def _raise_if_stalled(process: ServerProcess, stalling: StallWatch) -> None:
    if (problem := stalling.problem()) is not None:
        msg = f"the server failed ({problem}) and does nothing any more, though its process lives"
        raise ServerError(f"{msg}: {' '.join(process.argv)}", process.log_tail())


def never_ready(process: ServerProcess | None, timeouts: ServerTimeouts, last: str) -> ServerError:
    """The error for a server that is not ready in time."""
    msg = (
        f"the server was not ready within {timeouts.ready_s:g} s: {last}; give it more time (ready_timeout_s), or see "
        "its log"
    )
    return ServerError(msg, _log_of(process))


def _log_of(process: ServerProcess | None) -> str:
    return "" if process is None else process.log_tail()
