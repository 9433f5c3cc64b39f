"""Conversations with tools on a real server of the shipped pair: a warm prompt cache never shows in an answer.

The server is started as a run starts it, in a process of its own with the BLAS that it gets there. Each answer is held,
token by token, against the one that the same text gets without drafts and without any cache.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from anyio.from_thread import start_blocking_portal

from punie_trace.agent.definitions import build_tools, openai_definitions
from punie_trace.agent.prompt import SYSTEM_PROMPT
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.models import shipped_model
from punie_trace.servers.kinds import PunieConfig
from punie_trace.servers.readiness import ServerTimeouts
from punie_trace.servers.server import open_server
from punie_trace.suite.load import sample_workspace
from tests.serving.asking import sample, tokens

pytestmark = pytest.mark.timeout(300)
TOOLBOX = Toolbox(Workspace(sample_workspace()))
TOOLS = openai_definitions(build_tools(TOOLBOX.functions().values()))
QUESTIONS = (
    ("Find all Django view functions", "And what about permissions?"),
    ("Show me the UserSerializer implementation",),
)
MODES: dict[str, Any] = {
    "off": "off",
    "fixed": {"mode": "fixed", "k": 3, "drafter": "model"},
    "fixed-tree": {"mode": "fixed", "k": 5, "drafter": "hybrid", "tree": True},
    "adaptive": "adaptive",
}
MOST = 32
POISON = {"logit_bias": {"7": 1e308}}  # infinite in single precision: no log-probability is a number then


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[httpx2.Client]:
    target, draft = shipped_model()
    one_thread = {"OPENBLAS_NUM_THREADS": "1"}  # small products: threads only wait for each other
    config = PunieConfig(model_path=str(target), draft_model=str(draft), environment=one_thread)
    log = tmp_path_factory.mktemp("server") / "log"
    opening = open_server(config, log_path=log, timeouts=ServerTimeouts(ready_s=110, poll_s=0.05, stop_s=5))
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(opening) as running,
        httpx2.Client(base_url=running.base_url.removesuffix("/v1"), trust_env=False, timeout=110) as client,
    ):
        yield client


@dataclass
class Conversation:
    """An agent's turns: a question, its tool's result, a second question, and whatever that leads to."""

    questions: tuple[str, ...]
    messages: list[dict[str, Any]] = field(default_factory=lambda: [{"role": "system", "content": SYSTEM_PROMPT}])

    def turns(self) -> Iterator[list[dict[str, Any]]]:
        """What is sent each turn; `heard` is to be called before the next."""
        for question in self.questions:
            self.messages.append({"role": "user", "content": question})
            yield list(self.messages)
            if self.messages[-1]["role"] == "tool":
                yield list(self.messages)

    def heard(self, answer: dict[str, Any]) -> None:
        """Take the answer into the conversation, and run the tool that it calls."""
        said = answer["choices"][0]["message"]
        self.messages.append({key: said[key] for key in ("role", "content", "tool_calls") if said.get(key)})
        for call in said.get("tool_calls") or ():
            function = call["function"]
            result = TOOLBOX.functions()[function["name"]](**json.loads(function["arguments"]))
            self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": str(result)[:800]})


class Asking:
    """Asks the server, and what a fresh prefill answers without drafts: once for each text."""

    def __init__(self, client: httpx2.Client) -> None:
        self.client = client
        self._fresh: dict[str, list[int]] = {}

    def body(self, messages: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
        return {"messages": messages, "tools": TOOLS, "max_tokens": MOST, "logprobs": True, "temperature": 0, **fields}

    def ask(self, messages: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
        answer = self.client.post("/v1/chat/completions", json=self.body(messages, **fields))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fresh(self, messages: list[dict[str, Any]], **fields: Any) -> list[int]:
        key = json.dumps([messages, fields])
        if key not in self._fresh:
            answer = self.ask(messages, **fields, speculation="off", cache_salt=f"fresh {len(self._fresh)}")
            assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
            self._fresh[key] = tokens(answer)
        return self._fresh[key]

    def checked(self, messages: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
        """An answer that is that of a fresh prefill."""
        answer = self.ask(messages, **fields)
        same = {name: value for name, value in fields.items() if name not in ("speculation", "cache_salt", "timings")}
        assert tokens(answer) == self.fresh(messages, **same)
        return answer


@pytest.fixture(scope="module")
def asking(server: httpx2.Client) -> Asking:
    return Asking(server)


def interleaved(asking: Asking, **fields: Any) -> tuple[int, int]:
    """Conversations A, B, A, B, ... that begin alike; how many turns they had, and tokens that came from the cache."""
    conversations = [Conversation(questions) for questions in QUESTIONS]
    going = [(one, one.turns()) for one in conversations]
    turns = cached = 0
    while going:
        for one, coming in list(going):
            messages = next(coming, None)
            if messages is None:
                going.remove((one, coming))
                continue
            answer = asking.checked(messages, **fields)
            turns += 1
            cached += answer["usage"]["prompt_tokens_details"]["cached_tokens"]
            one.heard(answer)
    assert any(message["role"] == "tool" for one in conversations for message in one.messages)
    return turns, cached


@pytest.mark.parametrize("mode", MODES)
def test_interleaved_conversations_are_answered_as_from_a_fresh_prefill(asking: Asking, mode: str) -> None:
    turns, cached = interleaved(asking, speculation=MODES[mode], cache_salt=f"interleaved {mode}")
    assert turns >= 5
    assert cached > 200 * (turns - 2)


def test_so_they_are_in_the_batch_whose_cache_is_everybodys(asking: Asking) -> None:
    turns, cached = interleaved(asking, speculation="off")
    assert turns >= 5
    assert cached > 0


@pytest.mark.parametrize("mode", MODES)
def test_so_they_are_with_a_repetition_penalty(asking: Asking, mode: str) -> None:
    """It looks back into the part of the text that is in the cache."""
    conversation = Conversation(QUESTIONS[1])
    penalty = {"repetition_penalty": 2.0, "repetition_context_size": 1000}
    for messages in conversation.turns():
        fields = {"speculation": MODES[mode], "cache_salt": f"penalty {mode}"}
        asking.checked(messages, **fields, **penalty)
        conversation.heard(asking.ask(messages, **fields))


@pytest.mark.parametrize("mode", MODES)
def test_stop_sequences_wherever_they_lie_in_a_draft(asking: Asking, mode: str) -> None:
    """Nearly all of this answer is drafted right, so that stops in its midst fall on every place of a draft.

    mlx_lm looks for the tokens of a stop text as it stands alone, which are not always those in the answer.
    """
    messages = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": QUESTIONS[0][1]}]
    salt = f"stops {mode}"
    said = asking.ask(messages, speculation="off")["choices"][0]["message"]["content"]
    ended = set()
    for stop in [f" {word}" for word in said.split()[2:12]]:
        answer = asking.checked(messages, speculation=MODES[mode], cache_salt=salt, stop=[stop])["choices"][0]
        plain = asking.ask(messages, speculation="off", stop=[stop])["choices"][0]
        assert (answer["finish_reason"], answer["message"]) == (plain["finish_reason"], plain["message"])
        if answer["finish_reason"] == "stop":
            ended.add(answer["message"]["content"])
    assert len(ended) >= 5


@pytest.mark.parametrize("mode", MODES)
def test_a_conversation_goes_on_after_a_client_that_went_away(asking: Asking, mode: str) -> None:
    fields = {"speculation": MODES[mode], "cache_salt": f"gone {mode}"}
    conversation = Conversation(QUESTIONS[1])
    for messages in conversation.turns():
        go_away(asking, asking.body(messages, **fields, logit_bias={"2": -100.0}) | {"max_tokens": 3000})
        conversation.heard(asking.checked(messages, **fields))


@pytest.mark.parametrize("mode", MODES)
def test_a_conversation_goes_on_after_an_error(asking: Asking, mode: str) -> None:
    fields = {"speculation": MODES[mode], "cache_salt": f"error {mode}"}
    conversation = Conversation(QUESTIONS[1])
    for messages in conversation.turns():
        broken = asking.client.post("/v1/chat/completions", json=asking.body(messages, **fields, **POISON))
        assert broken.status_code == 500
        assert "not numbers" in broken.json()["error"]
        conversation.heard(asking.checked(messages, **fields))


def go_away(asking: Asking, body: dict[str, Any]) -> None:
    """Ask for a stream, read its beginning, and close; returns once the server has noticed."""
    client = asking.client
    before = aborted(client)
    parts = urlsplit(str(client.base_url))
    assert parts.hostname is not None
    raw = json.dumps({**body, "stream": True, "stream_options": {"include_usage": True}}).encode()
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=30) as connection:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {len(raw)}\r\n\r\n"
        connection.sendall(head.encode() + raw)
        connection.recv(100)
        time.sleep(0.05)  # somewhere among its rounds
    deadline = time.monotonic() + 60
    while aborted(client) == before:
        assert time.monotonic() < deadline, "the generation went on without a reader"
        time.sleep(0.02)


def aborted(client: httpx2.Client) -> float:
    text = client.get("/metrics").text
    lines = [line for line in text.splitlines() if 'finished_reason="abort"' in line]
    return sample("\n".join(lines), "vllm:request_success_total")
