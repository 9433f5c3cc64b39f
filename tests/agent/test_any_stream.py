"""Whatever a server streams, one query comes of it: an outcome with a verdict, on both paths, and nothing else.

Sound conversations are spoiled: values swapped for others, fields missing, null, doubled, huge; lines cut, ended and
marked in other ways. The real askers read them from a real socket; outcome and spans must be fit to be written.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from punie_trace.agent.agent_path import AgentPath, openai_client
from punie_trace.agent.aiohttp_transport import AiohttpTransport
from punie_trace.agent.http_path import HttpPath
from punie_trace.agent.options import AskOptions
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.analysis.ledger import close_ledger
from punie_trace.driver.limits import Failures, Limits
from punie_trace.driver.load import Driver
from punie_trace.driver.schedule import Planned
from punie_trace.driver.target import Target
from punie_trace.records import Arrival, JsonValue, Ledger, Outcome, Query, Verdict
from punie_trace.records import Path as AskPath
from punie_trace.runs.outcome_line import decode_outcome, encode_outcome
from punie_trace.spans.clock import Clock
from punie_trace.spans.provider import make_tracer_provider
from punie_trace.spans.query_span import QuerySpan, open_query
from punie_trace.spans.span_file import SpanFile
from punie_trace.spans.transport import TracedTransport
from punie_trace.suite.check import judge_by_facts
from punie_trace.suite.load import sample_workspace

EXAMPLES = 300
QUERY = Query("q", "Where is it?", "tool", ("find_definition",), ("UserSerializer",), ("serializers",))
Chunk = dict[str, JsonValue]


def chunk(delta: JsonValue, finish: str | None = None) -> Chunk:
    choice: JsonValue = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [choice]}


def usage(sent: int, received: int) -> Chunk:
    counts: JsonValue = {"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received}
    return {**chunk({}), "choices": [], "usage": counts}


def call(*pieces: str) -> list[Chunk]:
    begins: JsonValue = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "find_definition", "arguments": pieces[0]},
    }
    more: list[Chunk] = [
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for piece in pieces[1:]
    ]
    return [chunk({"role": "assistant", "content": None, "tool_calls": [begins]}), *more, chunk({}, "tool_calls")]


CALL = [*call('{"name": ', '"UserSerializer"}'), usage(20, 5)]
TEXT = [
    chunk({"role": "assistant", "content": ""}),
    *(chunk({"content": t}) for t in ("It is ", "in serializers", ".")),
]
TEXT += [chunk({}, "stop"), usage(40, 6)]

deep: JsonValue = "x"
for _ in range(150):
    deep = [deep]
VALUES: st.SearchStrategy[JsonValue] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([10**18, 10**30, 1.5, -0.0, 1e300, "", "x", "\ud800", "a" * 5000, "<think>", "error", deep]),
    st.sampled_from(["</think>", "<tool_call>", "[DONE]", "tool_calls", "length", '{"name": "x"}', "{", "null", "[1]"]),
    st.lists(st.sampled_from([None, 1, "x", {}, {"type": "text", "text": "y"}, {"type": "thinking"}]), max_size=3),
    st.dictionaries(st.sampled_from(["name", "text", "type", "message", "content"]), st.just("x"), max_size=2),
)  # fmt: skip


def places(value: JsonValue, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def fresh(value: JsonValue) -> JsonValue:
    """A copy: what was put in may be spoiled again."""
    return json.loads(json.dumps(value))


def spoil(holder: Any, key: Any, change: str, value: JsonValue, added: str) -> None:
    """One change within a list or an object; `key` is there."""
    if change == "drop":
        del holder[key]
    elif change == "double" and isinstance(holder, list):
        holder.insert(key, fresh(holder[key]))
    elif change == "add" and isinstance(holder, dict):
        holder[added] = value
    else:
        holder[key] = value


@st.composite
def spoiled(draw: st.DrawFn, sound: list[Chunk]) -> bytes:
    """A stream that was sound, as bytes."""
    chunks: list[Any] = json.loads(json.dumps(sound))
    for _ in range(draw(st.integers(0, 3))):
        found = list(places(chunks))
        if not found:
            break
        path = draw(st.sampled_from(found))
        holder: Any = chunks
        for key in path[:-1]:
            holder = holder[key]
        change = draw(st.sampled_from(["swap", "swap", "drop", "double", "add"]))
        added = draw(st.sampled_from(["error", "usage", "reasoning_content", "refusal", "logprobs", "function_call"]))
        spoil(holder, path[-1], change, fresh(draw(VALUES)), added)
    events = [b"data: " + json.dumps(one).encode("utf-8", "surrogatepass") for one in chunks]
    odd_line = draw(
        st.sampled_from([None, None, None, b": comment", b"data: null", b"data: [1]", b"data: {", b"id: 1"])
    )
    if odd_line is not None:
        events.insert(draw(st.integers(0, len(events))), odd_line)
    end = draw(st.sampled_from([b"\n\n", b"\n\n", b"\r\n\r\n", b"\r\r"]))
    body = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + b"".join(event + end for event in events)
    body += draw(st.sampled_from([b"data: [DONE]" + end, b"data: [DONE]" + end, b"data: [DONE]", b""]))
    if draw(st.integers(0, 14)) == 14:
        body = body[: draw(st.integers(0, len(body)))]
    return body


class Server:
    """Answers each request with the turn of its conversation, and closes the connection."""

    def __init__(self) -> None:
        self.turns: tuple[bytes, ...] = ()
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        body = json.loads(await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0])))
        turn = sum(message["role"] == "tool" for message in body["messages"])
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        data = self.turns[min(turn, len(self.turns) - 1)]
        for start in range(0, len(data), 700):
            writer.write(data[start : start + 700])
            await writer.drain()
        writer.close()


class Lab:
    """Both paths against the server, in one event loop for all examples."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.server = Server()
        self.runner.run(self.server.start())
        self.clock = Clock.start()
        self.spool = SpanFile(folder / "spans.jsonl")
        self.provider = make_tracer_provider(self.clock, "test-run", [self.spool])
        self.outcomes: list[Outcome] = []
        toolbox = Toolbox(Workspace(sample_workspace()))
        options = AskOptions("m", max_requests=4)
        base_url = f"http://127.0.0.1:{self.server.port}/v1/"
        self.clients = [
            httpx2.AsyncClient(
                transport=TracedTransport(self.provider, self.clock, inner, tidy=inner is None), base_url=base_url
            )
            for inner in (None, AiohttpTransport())
        ]
        agent = AgentPath(openai_client(base_url, self.clients[0], "k", 30), toolbox, options, self.provider)
        http = HttpPath(self.clients[1], toolbox, options, self.provider.tracer)
        targets = {
            name: Target(name, name, ask, lambda one: None, lambda: None)
            for name, ask in (("agent", agent.ask), ("http", http.ask))
        }
        self.driver = Driver(
            targets, self._open, self.clock, judge_by_facts, Limits(20), self._on_outcome, lambda *_: None
        )

    def _open(self, arrival: Arrival, path: AskPath, warm_up: bool) -> AbstractContextManager[QuerySpan]:
        return open_query(
            self.provider, self.clock, arrival=arrival, path=path, run_span_context=None, close=close_ledger
        )

    def _on_outcome(self, outcome: Outcome, ledger: Ledger) -> None:
        self.outcomes.append(outcome)

    def ask(self, turns: tuple[bytes, ...]) -> dict[str, Outcome]:
        """The outcome of one query on each path."""
        self.server.turns, self.outcomes = turns, []
        planned = [Planned(number, 1, name, QUERY) for number, name in enumerate(("agent", "http"))]
        failures = Failures()
        self.runner.run(self.driver.drive(planned, failures))
        assert not failures.reasons
        return {outcome.configuration: outcome for outcome in self.outcomes}

    def close(self) -> None:
        for client in self.clients:
            self.runner.run(client.aclose())
        self.runner.run(self.server.stop())
        self.runner.close()
        self.provider.shutdown()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.close()


def whole(chunks: list[Chunk]) -> bytes:
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks) + b"data: [DONE]\n\n"


def test_the_sound_conversation_is_right_on_both_paths(lab: Lab) -> None:
    outcomes = lab.ask((whole(CALL), whole(TEXT)))
    assert {o.verdict for o in outcomes.values()} == {Verdict.CORRECT}
    assert {(o.answer, o.input_tokens, o.output_tokens) for o in outcomes.values()} == {
        ("It is in serializers.", 60, 11)
    }
    assert outcomes["agent"].tool_calls == outcomes["http"].tool_calls


@pytest.mark.timeout(300)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(first=spoiled(CALL), second=spoiled(TEXT))
def test_nothing_but_an_outcome_comes_of_a_stream(
    lab: Lab, count_example: Callable[[], None], first: bytes, second: bytes
) -> None:
    count_example()
    outcomes = lab.ask((first, second))
    assert set(outcomes) == {"agent", "http"}
    for outcome in outcomes.values():
        assert decode_outcome(encode_outcome(outcome).decode("ascii")) == outcome
        assert (outcome.verdict is Verdict.ERROR) <= bool(outcome.error)
        assert "AssertionError" not in str(outcome.error)
        assert "in punie_trace itself" not in str(outcome.error)
    lab.spool.check()
    assert outcomes["agent"].verdict == outcomes["http"].verdict
