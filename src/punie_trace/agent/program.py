"""Asks a program: any command that takes a question and finds its model by a base URL.

Each query is a process of its own, in a group of its own, that ends with us however we die. It is given its own base
URLs at the recording proxy, its own copy of the workspace where the case asks for one, and files and environment as the
configuration has them. Each turn of a session is a process too, in the one folder that the session has: what the
program remembers it finds there, or is told. Its answer is what it prints, or what is in a file that it writes. What
its model was asked, and which calls it made, is read from the requests that came by; its tools' own times cannot be
seen.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import anyio
import httpx2
from anyio import CapacityLimiter, to_thread
from opentelemetry.trace import Span, format_trace_id, get_current_span
from pydantic_core import to_json

from punie_trace.agent.aiohttp_transport import AiohttpTransport
from punie_trace.agent.asker import AgentSource, AskerContext, AskTurn
from punie_trace.agent.conversation import Conversation
from punie_trace.agent.plain_transport import PlainTransport
from punie_trace.agent.program_process import KeptOutputs, ProgramFolder, ProgramProcess, made_folder, text_in
from punie_trace.agent.proxy import Lane, RecordingProxy
from punie_trace.agent.salted_transport import SaltedTransport
from punie_trace.errors import ConfigurationError
from punie_trace.http_clients import async_transport
from punie_trace.proxy_routes import route_to
from punie_trace.records import Answer, Query
from punie_trace.spans import names
from punie_trace.spans.transport import TracedTransport

Ask: TypeAlias = Callable[[Query], Awaitable[Answer]]
PLACEHOLDERS: Final = ("question", "history", "base_url", "root_url", "model", "api_key", "workspace", "files", "here")
"""What may stand in braces in the command, in the environment's values, in files, and in `answer`."""
DEFAULT_ENVIRONMENT: Final = {
    "OPENAI_BASE_URL": "{base_url}",
    "OPENAI_API_BASE": "{base_url}",
    "OPENAI_API_KEY": "{api_key}",
    "OPENAI_MODEL": "{model}",
    "ANTHROPIC_BASE_URL": "{root_url}",
    "ANTHROPIC_API_KEY": "{api_key}",
    "ANTHROPIC_MODEL": "{model}",
}
NO_KEY: Final = "not-needed"
"""What programs get for a key: the server's own is the proxy's secret."""
_NOT_FOUND: Final = 127
_BRACES = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")


def check_source(source: AgentSource) -> None:
    """Raises `ConfigurationError` where the program is not there, or is not told what to ask."""
    if not source.program or not source.program[0].strip():
        raise ConfigurationError("[agent] program is empty: give the program and its arguments as a list")
    texts = (*source.program, *source.environment.values(), *source.files.values())
    if not any("{question}" in text for text in texts):
        raise ConfigurationError(
            f"[agent] program {source.program[0]!r} is not told what to ask: put '{{question}}' among its arguments"
        )
    later = (*source.next_program, *source.environment.values(), *source.files.values())
    if source.next_program and not any("{question}" in text for text in later):
        raise ConfigurationError("[agent] continue is not told what to ask: put '{question}' among its arguments")
    for name in (source.program[0], *source.next_program[:1]):
        if shutil.which(name) is None:
            raise ConfigurationError(
                f"[agent] program {name!r} was not found; give its path, or install it where PATH finds it"
            )
    for name in source.files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ConfigurationError(f"[agent.files] {name!r} must lie in the query's own folder: give it without '..'")


def check_sessions(source: AgentSource) -> None:
    """Raises `ConfigurationError` where nothing would tell the program of the turns before: each is a new process."""
    texts = (*source.program, *source.environment.values(), *source.files.values())
    if not source.next_program and not any("{history}" in text for text in texts):
        raise ConfigurationError(
            f"[agent] program {source.program[0]!r} is started anew for each turn, and the suite has sessions (lists "
            "of texts), whose turns know those before: put '{history}' (the turns before, as JSON) among its arguments "
            "or into a file of [agent.files]; or give as 'continue' the command of the turns after the first, where it "
            "goes on by itself with what it kept in {files} or {workspace}"
        )


async def open_asker(stack: AsyncExitStack, context: AskerContext) -> ProgramPath:
    """The asker of one configuration, behind a proxy of its own that ends with `stack`."""
    route = route_to(context.base_url)
    inner = async_transport(route) if route.socks else AiohttpTransport(route)
    transport = TracedTransport(
        context.provider, context.clock, inner if route.proxy is not None else PlainTransport(inner)
    )
    stack.push_async_callback(transport.aclose)
    passing: httpx2.AsyncBaseTransport = transport
    if context.options.salted:
        passing = SaltedTransport(transport, context.base_url)
    key = None if context.api_key == NO_KEY else context.api_key
    proxy = RecordingProxy(
        passing,
        context.clock,
        context.base_url,
        api_key=key,
        model=context.options.model,
        read_timeout_s=context.options.read_timeout_s,
    )
    await stack.enter_async_context(proxy.listening())
    path = ProgramPath(context.source, proxy, context.options.model, context.toolbox.workspace.root, context.outputs)
    stack.push_async_callback(path.close)
    return path


@dataclass(slots=True)
class _Held:
    """What is held of a query until its answer is released: its folder, and what ran in it, a process for each turn."""

    folder: ProgramFolder
    conversation: Conversation = field(default_factory=Conversation)
    processes: list[ProgramProcess] = field(default_factory=list)


class ProgramPath:
    """Asks one program through one proxy. `model` and `workspace` are what it is told of both."""

    def __init__(
        self, program: AgentSource, proxy: RecordingProxy, model: str, workspace: Path, outputs: KeptOutputs | None
    ) -> None:
        self._program = program
        self._proxy = proxy
        self._model = model
        self._workspace = workspace.resolve()
        self._here = str(Path.cwd())
        self._threads = CapacityLimiter(1024)  # each waits for one process
        self._outputs = outputs
        self._held: dict[str, _Held] = {}
        """By its folder."""

    async def prepare(self, query: Query) -> Ask:
        """Make the query's folder, and its copy of the workspace where it works in one: that takes nobody's time."""
        ask = await self.prepare_session(query)
        return lambda query: ask(query.text)

    async def prepare_session(self, query: Query) -> AskTurn:
        """The same for a session: all its turns work in that folder, each in a process of its own."""
        copied = self._program.copies_workspace or query.copies_workspace
        held = _Held(await made_folder(self._workspace, copy=copied, threads=self._threads))
        self._held[str(held.folder.root)] = held

        async def ask(text: str) -> Answer:
            return await self._ask_in(held, text)

        return ask

    async def ask(self, query: Query) -> Answer:
        """The program's answer. What it did wrong is in `Answer.error`; it is ended where the query is.

        Its folder, with a copy of the workspace where it had one, stays until `release`.
        """
        return await (await self.prepare(query))(query)

    async def close(self) -> None:
        """Let go of all answers that nobody released."""
        for held in list(self._held):
            await self.release(Answer("", held=held))

    async def release(self, answer: Answer) -> None:
        """End what the program left running, keep what it printed, and remove its folder."""
        span = get_current_span()
        left = await to_thread.run_sync(self._let_go, answer.held or "", span, limiter=self._threads)
        if left:
            span.set_attribute(names.LEFT_PROCESSES, left)

    def _let_go(self, folder: str, span: Span) -> tuple[str, ...]:
        held = self._held.pop(folder, None)
        if held is None:
            return ()
        left = tuple(name for process in held.processes for name in process.end())
        trace_id = format_trace_id(span.get_span_context().trace_id)
        for number, process in enumerate(held.processes, 1):
            if self._outputs is not None:
                self._outputs.keep(trace_id if number == 1 else f"{trace_id}-{number}", process.folder)
        held.folder.remove()
        return left

    async def _ask_in(self, held: _Held, text: str) -> Answer:
        folder = held.folder.of_turn(len(held.processes))
        try:
            with self._proxy.lane() as lane:
                values = self._values(text, lane, folder) | {"history": to_json(held.conversation.messages).decode()}
                answer = folder.out if self._program.answer is None else Path(_filled(self._program.answer, values))
                if held.processes:
                    answer.unlink(missing_ok=True)  # it is that of the turn before
                self._write_files(folder, values)
                process = ProgramProcess(
                    self._argv(values, first=not held.processes), self._environment(values), folder
                )
                held.processes.append(process)
                code, too_much = await process.wait(self._threads)
                failure = too_much or self._failure(code, lane, process.tail())
        except BaseException:
            with anyio.CancelScope(shield=True):
                root = str(held.folder.root)
                await to_thread.run_sync(self._let_go, root, get_current_span(), limiter=self._threads)
            raise
        found = text_in(answer).strip()
        if found:
            held.conversation.add(text, found)
        return Answer(
            found,
            error=failure,
            workspace=str(folder.workspace) if folder.workspace != self._workspace else None,
            held=str(folder.root),
            tools_unseen=True,
            reason=None if found else "the program gave no answer: it printed nothing",
        )

    def _argv(self, values: Mapping[str, str], *, first: bool) -> list[str]:
        given = self._program.program if first or not self._program.next_program else self._program.next_program
        executable = str(Path(shutil.which(given[0]) or given[0]).absolute())
        return [executable, *(_filled(word, values) for word in given[1:])]

    def _values(self, text: str, lane: Lane, folder: ProgramFolder) -> dict[str, str]:
        return {
            "question": text,
            "base_url": lane.base_url,
            "root_url": lane.root,
            "model": self._model,
            "api_key": NO_KEY,
            "workspace": str(folder.workspace),
            "files": str(folder.files),
            "here": self._here,
        }

    def _write_files(self, folder: ProgramFolder, values: Mapping[str, str]) -> None:
        for name, text in self._program.files.items():
            (folder.files / name).parent.mkdir(parents=True, exist_ok=True)
            (folder.files / name).write_text(_filled(text, values), encoding="utf-8")

    def _failure(self, code: int, lane: Lane, said: str) -> str | None:
        name = self._program.program[0]
        words = f": {said}" if said else ""
        if code == _NOT_FOUND and not lane.requests:
            return f"the program {name!r} cannot be run{words}"
        if code < 0:
            return f"the program {name!r} was ended by signal {-code}{words}"
        if code:
            return f"the program {name!r} ended with exit code {code}{words}"
        if not lane.generations:
            return (
                f"the program {name!r} asked nothing of the model by its base URL, so that nothing of it was seen: it "
                "takes no notice of OPENAI_BASE_URL or ANTHROPIC_BASE_URL; put {base_url} among its arguments, in "
                "[agent.environment] or in a file of [agent.files]"
            )
        return None

    def _environment(self, values: Mapping[str, str]) -> dict[str, str]:
        given = {**DEFAULT_ENVIRONMENT, **self._program.environment}
        own = {key: _filled(value, values) for key, value in given.items()}
        environment = {**os.environ, "PWD": values["workspace"], "TRACEPARENT": _traceparent(), **own}
        # The proxy is on loopback: no other proxy leads there.
        for name in ("NO_PROXY", "no_proxy"):
            environment[name] = ",".join(filter(None, (environment.get(name), "127.0.0.1,localhost")))
        return {key: value for key, value in environment.items() if value}


def _traceparent() -> str:
    context = get_current_span().get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}" if context.is_valid else ""


def _filled(text: str, values: Mapping[str, str]) -> str:
    """The text with its placeholders filled in, once: what a question holds in braces stays."""
    return _BRACES.sub(lambda found: values[found[1]], text)
