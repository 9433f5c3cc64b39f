"""Asks a program: any command that takes a question and finds its model by a base URL.

Each query is a process of its own, in a group of its own, that ends with us however we die. It is given its own base
URLs at the recording proxy, its own copy of the workspace where the case asks for one, and files and environment as the
configuration has them. Its answer is what it prints, or what is in a file that it writes. What its model was asked,
and which calls it made, is read from the requests that came by; its tools' own times cannot be seen.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import anyio
from anyio import CapacityLimiter, to_thread
from opentelemetry.trace import get_current_span

from punie_trace.agent.aiohttp_transport import AiohttpTransport
from punie_trace.agent.asker import AgentSource, AskerContext
from punie_trace.agent.plain_transport import PlainTransport
from punie_trace.agent.proxy import Lane, RecordingProxy
from punie_trace.bound_process import BoundProcess, start_bound
from punie_trace.errors import ConfigurationError
from punie_trace.http_clients import async_transport
from punie_trace.proxy_routes import route_to
from punie_trace.records import Answer, Query
from punie_trace.spans.transport import TracedTransport

MOST_OUTPUT_BYTES: Final = 16 * 2**20
"""What a program may print before it is ended; of the answer, as much as `MOST_ANSWER_CHARS` is kept."""
MOST_ANSWER_CHARS: Final = 256 * 1024
PLACEHOLDERS: Final = ("question", "base_url", "root_url", "model", "api_key", "workspace", "files", "here")
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
_WATCH_S: Final = 0.05
_TAIL_CHARS: Final = 600
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
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
    if shutil.which(source.program[0]) is None:
        raise ConfigurationError(
            f"[agent] program {source.program[0]!r} was not found; give its path, or install it where PATH finds it"
        )
    for name in source.files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ConfigurationError(f"[agent.files] {name!r} must lie in the query's own folder: give it without '..'")


def check_sessions(source: AgentSource) -> None:
    """Raises `ConfigurationError`: a program is a new process for each question, and knows nothing of those before."""
    raise ConfigurationError(
        f"[agent] program {source.program[0]!r} is started anew for each question, and the suite has sessions (lists "
        "of texts), whose turns know those before: ask them of the built-in agent, of an imported one, or by path = "
        "'http'"
    )


async def open_asker(stack: AsyncExitStack, context: AskerContext) -> ProgramPath:
    """The asker of one configuration, behind a proxy of its own that ends with `stack`."""
    route = route_to(context.base_url)
    inner = async_transport(route) if route.socks else AiohttpTransport(route)
    transport = TracedTransport(
        context.provider, context.clock, inner if route.proxy is not None else PlainTransport(inner)
    )
    stack.push_async_callback(transport.aclose)
    key = None if context.api_key == NO_KEY else context.api_key
    proxy = RecordingProxy(
        transport,
        context.clock,
        context.base_url,
        api_key=key,
        model=context.options.model,
        read_timeout_s=context.options.read_timeout_s,
    )
    await stack.enter_async_context(proxy.listening())
    return ProgramPath(context.source, proxy, context.options.model, context.toolbox.workspace.root)


class ProgramPath:
    """Asks one program through one proxy. `model` and `workspace` are what it is told of both."""

    def __init__(self, program: AgentSource, proxy: RecordingProxy, model: str, workspace: Path) -> None:
        self._program = program
        self._proxy = proxy
        self._model = model
        self._workspace = workspace.resolve()
        self._here = str(Path.cwd())
        self._executable = str(Path(shutil.which(program.program[0]) or program.program[0]).absolute())
        self._threads = CapacityLimiter(1024)  # each waits for one process

    async def ask(self, query: Query) -> Answer:
        """The program's answer. What it did wrong is in `Answer.error`; it is ended where the query is.

        A copy of the workspace stays until `release`, for those who judge what is in it.
        """
        folder = Path(await to_thread.run_sync(partial(tempfile.mkdtemp, prefix="punie-trace-")))
        kept = False
        try:
            workspace = self._workspace
            copied = self._program.copies_workspace or query.copies_workspace
            if copied:
                workspace = folder / "workspace"
                await to_thread.run_sync(_copy_folder, self._workspace, workspace)
            with self._proxy.lane() as lane:
                answer = await self._run(query, lane, folder, workspace)
            kept = copied
            return replace(answer, workspace=str(workspace)) if copied else answer
        finally:
            if not kept:
                shutil.rmtree(folder, ignore_errors=True)

    async def release(self, answer: Answer) -> None:
        """Remove the copy of the workspace, once the answer has been judged."""
        if answer.workspace is not None:
            await to_thread.run_sync(partial(shutil.rmtree, Path(answer.workspace).parent, ignore_errors=True))

    async def _run(self, query: Query, lane: Lane, folder: Path, workspace: Path) -> Answer:
        files, out, err = folder / "files", folder / "out", folder / "err"
        values = {
            "question": query.text,
            "base_url": lane.base_url,
            "root_url": lane.root,
            "model": self._model,
            "api_key": NO_KEY,
            "workspace": str(workspace),
            "files": str(files),
            "here": self._here,
        }
        files.mkdir()
        for name, text in self._program.files.items():
            (files / name).parent.mkdir(parents=True, exist_ok=True)
            (files / name).write_text(_filled(text, values), encoding="utf-8")
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = start_bound(
                [
                    self._executable,
                    *(_filled(word, values) for word in self._program.program[1:]),
                ],
                stdout=stdout,
                stderr=stderr,
                environment=self._environment(values),
                folder=workspace,
            )
        try:
            too_much = await self._ended(process, (out, err))
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(process.end, limiter=self._threads)
        text = _read(out if self._program.answer is None else Path(_filled(self._program.answer, values))).strip()
        failure = too_much or self._failure(process.popen.returncode, lane, _tail(err) or _tail(out))
        return Answer(
            text,
            error=failure,
            tools_unseen=True,
            reason=None if text else "the program gave no answer: it printed nothing",
        )

    async def _ended(self, process: BoundProcess, outputs: Sequence[Path]) -> str | None:
        """Waits for the end; why it was not waited for, where the program printed too much."""
        too_much: str | None = None
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                nonlocal too_much
                while True:
                    await anyio.sleep(_WATCH_S)
                    if sum(path.stat().st_size for path in outputs) > MOST_OUTPUT_BYTES:
                        too_much = f"the program printed more than {MOST_OUTPUT_BYTES // 2**20} MiB and was ended"
                        await to_thread.run_sync(process.end, limiter=self._threads)
                        return

            tasks.start_soon(watch)
            await to_thread.run_sync(process.popen.wait, limiter=self._threads, abandon_on_cancel=True)
            tasks.cancel_scope.cancel()
        return too_much

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


def _read(path: Path) -> str:
    """The end of a text file, as far as an answer may go, without what colours it; '' where there is none."""
    with suppress(OSError), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - MOST_ANSWER_CHARS))
        return _ANSI.sub("", file.read().decode("utf-8", errors="replace"))
    return ""


def _tail(path: Path) -> str:
    return " ".join(_read(path)[-_TAIL_CHARS:].split())


def _copy_folder(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True, ignore_dangling_symlinks=True)
