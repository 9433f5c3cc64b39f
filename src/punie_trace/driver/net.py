"""The net below every asker: whatever it raises is that query's error, with its type, its words, and where it arose.

Only an interrupt and a cancellation from outside pass. Nothing here knows an agent, HTTP or a model: where an exception
arose is read from the modules that it passed through.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final, TypeAlias, TypeVar

from punie_trace.descriptors import OURS, ran_out
from punie_trace.records import Answer, Generation, Query
from punie_trace.spans import names

Asked = TypeVar("Asked")

MAX_CHARS: Final = 500
_MOST_CAUSES: Final = 8
_SILENT: Final = (
    names.ERROR_CUT_STREAM,
    names.ERROR_IN_STREAM,
    names.ERROR_MALFORMED_CHUNK,
    names.ERROR_TOO_LONG,
)
"""Failures of a generation that a client may not notice: it takes half an answer for a whole one."""
_ORIGINS: Final = (
    (re.compile(r"punie_trace\.agent\.(toolbox|workspace|files|search|definition_search|tool_runner)$"), "a tool"),
    (re.compile(r"(httpx2?|httpcore2?|aiohttp|openai|h11|punie_trace\.spans|punie_trace\.agent\.\w*http\w*)(\.|$)"),
     "the server or the connection"),
    (re.compile(r"(anyio|pydantic\w*|mcp|fastmcp|langgraph|langchain\w*|agents|smolagents)(\.|$)"), "the agent"),
    (re.compile(r"punie_trace(\.|$)"), "punie_trace itself"),
)  # fmt: skip
"""The modules in which an exception may arise, and whose fault that is, the first that fits."""
_OF_SERVERS: Final = ("httpx2", "httpcore2", "openai", "aiohttp")
"""Packages whose exceptions are about a server or the way to it, wherever they were raised."""


Ask: TypeAlias = Callable[[Asked], Awaitable[Answer]]


async def prepare_safely(prepare: Callable[[Query], Awaitable[Ask[Asked]]], query: Query) -> Ask[Asked]:
    """What `prepare` gives; a way to ask that fails with its error where it fails: that is the query's."""
    try:
        return await prepare(query)
    except Exception as failure:
        answer = Answer("", error=describe_failure(failure))

        async def failed(_asked: Asked) -> Answer:
            return answer

        return failed


async def ask_safely(ask: Callable[[Asked], Awaitable[Answer]], asked: Asked) -> Answer:
    """What `ask` answers to a query or a turn; an answer with an error for whatever else it does.

    Cancellation from outside passes.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        answer = await ask(asked)
    except KeyboardInterrupt:
        raise
    except asyncio.CancelledError as failure:
        # One that nobody outside asked for comes from within: a library's own scope that got out of its hands.
        if task is None or task.cancelling() > before:
            raise
        return Answer("", error=describe_failure(failure))
    except BaseExceptionGroup as failure:
        if failure.subgroup(KeyboardInterrupt) is not None:
            raise
        if failure.subgroup(asyncio.CancelledError) is not None and task is not None and task.cancelling() > before:
            raise
        return Answer("", error=describe_failure(failure))
    except BaseException as failure:  # an extension's panic and `sys.exit` within a tool are none of a driver's
        return Answer("", error=describe_failure(failure))
    if isinstance(answer, Answer):
        return answer
    return Answer("", error=f"the asker gave a {type(answer).__name__} and no answer")


def describe_failure(failure: BaseException) -> str:
    """'Kind: message (in where it arose)', with the root cause behind it where that says more; one bounded line."""
    first = _innermost(failure)
    parts, status = [_line(first)], _status(first)
    for cause in list(_chain(first))[1:]:
        words = _words(cause)
        # Each library says the same answer of a server again in its own words.
        again = status is not None and _status(cause) == status
        if words and words not in parts[-1] and not again and not isinstance(cause, BaseExceptionGroup):
            parts.append(_line(cause))
    if ran_out(first):
        parts.insert(0, OURS)
    text = "; caused by ".join(parts)
    origin = f" (in {origin_of(first)})"
    return text[: MAX_CHARS - len(origin)] + origin


def origin_of(failure: BaseException) -> str:
    """Where an exception arose: 'a tool', 'the server or the connection', 'the agent', or the module's own name."""
    if any(type(one).__module__.partition(".")[0] in _OF_SERVERS for one in _chain(failure)):
        return "the server or the connection"
    modules = [name for name in _modules(failure) if name.partition(".")[0] not in sys.stdlib_module_names]
    if not modules:
        return "the asker"
    return next((origin for pattern, origin in _ORIGINS if pattern.match(modules[-1]) is not None), modules[-1])


def generation_failure(generations: Iterable[Generation]) -> str | None:
    """What went wrong with a generation that nobody complained of; None where all came whole."""
    failed = (g.error for g in generations if g.error is not None)
    return next((f"a generation failed: {error}" for error in failed if error.startswith(_SILENT)), None)


def with_servers_words(error: str | None, generations: Iterable[Generation]) -> str | None:
    """`error` with what the server wrote into its stream: some clients only say that something was wrong there."""
    for generation in generations if error else ():
        mark, _, words = (generation.error or "").partition(": ")
        if error and mark == names.ERROR_IN_STREAM and words and words not in error:
            error = f"{error[: MAX_CHARS // 2]}; the server's words: {words}"[:MAX_CHARS]
    return error


def _innermost(failure: BaseException) -> BaseException:
    """The exception that a group was made of, where it is one."""
    while isinstance(failure, BaseExceptionGroup) and len(failure.exceptions) == 1:
        failure = failure.exceptions[0]
    return failure


def _chain(failure: BaseException) -> Iterator[BaseException]:
    """The exception and what it was caused by, the root cause last; bounded, as causes may go in a circle."""
    one: BaseException | None = failure
    seen: set[int] = set()
    while one is not None and id(one) not in seen and len(seen) < _MOST_CAUSES:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _modules(failure: BaseException) -> Iterator[str]:
    """The modules that the exception passed through, the outermost first."""
    frame = failure.__traceback__
    while frame is not None:
        yield str(frame.tb_frame.f_globals.get("__name__", ""))
        frame = frame.tb_next


def _line(failure: BaseException) -> str:
    message = _words(failure)
    name = type(failure).__name__
    return f"{name}: {message}" if message else name


def _status(failure: BaseException) -> int | None:
    """The HTTP status that the exception is about."""
    status = getattr(failure, "status_code", None) or getattr(getattr(failure, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _words(failure: BaseException) -> str:
    """What the exception says; some cannot say it."""
    try:
        return " ".join(str(failure).split())
    except Exception:
        return ""
