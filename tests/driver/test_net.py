"""Whatever an asker does, an answer comes of it; only an interrupt and a cancellation from outside pass."""

from __future__ import annotations

import asyncio
import sys

import anyio
import httpx2
import pytest

from punie_trace.descriptors import OURS
from punie_trace.driver.net import MAX_CHARS, ask_safely, describe_failure, generation_failure, with_servers_words
from punie_trace.records import Answer, Generation, Query

pytestmark = pytest.mark.anyio
QUERY = Query("q", "?")


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "failure",
    [
        ValueError("x"),
        RecursionError(),
        MemoryError(),
        SystemExit(3),
        asyncio.CancelledError(),
        UnspeakableError(),
        BaseExceptionGroup("several", [SystemExit(), ValueError("y")]),
        ExceptionGroup("one", [ExceptionGroup("inner", [OSError("disk")])]),
        GeneratorExit(),
        StopAsyncIteration(),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_whatever_an_asker_raises_is_its_querys_error(failure: BaseException) -> None:
    async def ask(query: Query) -> Answer:
        raise failure

    answer = await ask_safely(ask, QUERY)
    assert answer.text == ""
    assert answer.error


async def test_an_interrupt_passes() -> None:
    async def ask(query: Query) -> Answer:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await ask_safely(ask, QUERY)


async def test_a_cancellation_from_outside_passes() -> None:
    async def ask(query: Query) -> Answer:
        await anyio.sleep_forever()
        return Answer("")

    with anyio.move_on_after(0.01) as scope:
        await ask_safely(ask, QUERY)
    assert scope.cancelled_caught


async def test_what_is_no_answer_is_an_error() -> None:
    async def ask(query: Query) -> Answer:
        return "yes"  # ty: ignore[invalid-explicit-return]

    assert (await ask_safely(ask, QUERY)).error == "the asker gave a str and no answer"


def raised_in(code: str) -> BaseException:
    try:
        exec(code, {"__name__": "their_agent.tools"})
    except Exception as failure:
        return failure
    raise AssertionError


def test_an_error_says_what_it_was_where_it_arose_and_why() -> None:
    failure = raised_in("try:\n    raise OSError('cable')\nexcept OSError as e:\n    raise KeyError('gone') from e")
    assert describe_failure(failure) == "KeyError: 'gone'; caused by OSError: cable (in their_agent.tools)"
    assert "(in the server or the connection)" in describe_failure(httpx2.ConnectError("refused"))
    assert len(describe_failure(ValueError("x" * 5000))) <= MAX_CHARS


def test_what_a_server_answered_is_said_once() -> None:
    class ToldError(Exception):
        status_code = 500

    response = httpx2.Response(500, request=httpx2.Request("GET", "http://x"))
    failure, outer, other = ToldError("status_code: 500, no reply left"), ToldError("500"), OSError("cable")
    inner = httpx2.HTTPStatusError(
        "Server error '500' For more information check: ...", request=response.request, response=response
    )
    failure.__cause__, outer.__cause__, inner.__cause__ = outer, inner, other
    assert describe_failure(failure).startswith("ToldError: status_code: 500, no reply left; caused by OSError: cable")


def test_an_error_that_is_due_to_our_own_limit_of_files_says_so() -> None:
    opened = "try:\n    raise OSError(24, 'x')\nexcept OSError as e:\n"
    code = f"import httpx2\n{opened}    raise httpx2.ConnectError('y') from e"
    failure = raised_in(code)
    assert describe_failure(failure).startswith(f"{OURS}; caused by ConnectError: y; caused by OSError: [Errno 24] x")
    assert OURS not in describe_failure(httpx2.ConnectError("refused"))


def test_a_failure_that_a_client_may_not_notice_is_told() -> None:
    whole, cut = Generation(1, 2), Generation(1, 2, error="cut_stream: the stream ended")
    seen = Generation(1, 2, error="500: out of memory")
    assert generation_failure([whole, cut]) == "a generation failed: cut_stream: the stream ended"
    assert generation_failure([whole, seen]) is None, "whoever asked was told, and went on"
    assert sys.exception() is None


def test_what_a_server_wrote_into_its_stream_is_told() -> None:
    told = Generation(1, 2, error="error_chunk: out of memory")
    error = "ModelAPIError: An error occurred during streaming"
    assert with_servers_words(error, [Generation(1, 2), told, told]) == f"{error}; the server's words: out of memory"
    assert with_servers_words("E: out of memory", [told]) == "E: out of memory"
    assert with_servers_words(error, [Generation(1, 2, error="cut_stream: x")]) == error
    assert with_servers_words(None, [told]) is None
    assert len(with_servers_words("x" * 9000, [told]) or "") <= MAX_CHARS
