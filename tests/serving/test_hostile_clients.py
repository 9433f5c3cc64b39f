"""Whatever a client sends or leaves undone, it is answered in words, and nobody else is kept waiting.

Against a server in a process of its own, as users start it.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from punie_trace.serving.template_arguments import NOT_DATA
from tests.serving.asking import chat
from tests.serving.process import ServeProcess, serve_process
from tests.tiny_model import make_model

pytestmark = pytest.mark.timeout(300)
USER = {"role": "user", "content": "x"}
TEMPLATE = (
    "{% for m in messages %}{{ m.content }}{% endfor %}"
    "{% if enable_thinking %}TWELVE CHARS{% endif %}{{ words | join('') if words else '' }}"
)
CONTEXT = 1 << 18


@pytest.fixture(scope="module")
def long_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A target whose context takes a quarter of a million tokens."""
    return make_model(tmp_path_factory.mktemp("models").resolve() / "long", layers=2, context=CONTEXT)


@pytest.fixture(scope="module")
def server(long_model: Path, draft: Path) -> Generator[ServeProcess]:
    with serve_process("--model", long_model, "--draft-model", draft, "--chat-template", TEMPLATE) as running:
        yield running


def refused(server: ServeProcess, status: int = 400, **fields: Any) -> str:
    """What is said to a request that is refused with `status`; the next one is served."""
    answer = chat(server.client, **fields)
    assert answer.status_code == status, answer.text
    assert chat(server.client, max_tokens=1).status_code == 200
    return answer.json()["error"]


# Arguments of the chat template


@pytest.mark.parametrize("name", NOT_DATA)
def test_a_template_argument_that_is_no_data_is_refused(server: ServeProcess, name: str) -> None:
    assert f"may not hold {name!r}" in refused(server, chat_template_kwargs={name: "max_length"})


def test_every_option_of_the_tokenizer_is_among_them() -> None:
    import inspect

    options = set(inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters)
    assert options - {"documents", "kwargs"} <= set(NOT_DATA)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"words": ["x" * 70_000]}, "holds too much"),
        ({"words": [0] * 5000}, "holds too much"),
        ({"words": json.loads("[" * 40 + "]" * 40)}, "nested more than 16 levels"),
        ({"count": 10**400}, "more than 64 bits"),
        ({f"a{n}": n for n in range(40)}, "32 are the most"),
        ({"__class__": 1}, "cannot name an argument"),
        ({"a b": 1}, "cannot name an argument"),
    ],
)
def test_template_arguments_are_bounded(server: ServeProcess, arguments: dict[str, Any], why: str) -> None:
    assert why in refused(server, chat_template_kwargs=arguments)


def test_data_reaches_the_template(server: ServeProcess) -> None:
    def tokens(**arguments: Any) -> int:
        answer = chat(server.client, "hi", max_tokens=1, chat_template_kwargs=arguments).json()
        return answer["usage"]["prompt_tokens"]

    bare = tokens(enable_thinking=False)
    assert tokens(enable_thinking=True) == bare + 12
    assert tokens(enable_thinking=False, words=["abc", "de"]) == bare + 5


# Numbers, addresses, and what is not offered

NUMBERS = ("max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty",
           "repetition_context_size", "presence_penalty", "presence_context_size", "frequency_penalty",
           "frequency_context_size", "xtc_probability", "xtc_threshold", "top_logprobs", "num_draft_tokens", "seed",
           "n")  # fmt: skip


@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 400, "1e30", "1e999", "-1e30"])
def test_absurd_numbers_are_refused_by_name(server: ServeProcess, number: str) -> None:
    for name in NUMBERS:
        body = f'{{"messages": [{{"role": "user", "content": "x"}}], "{name}": {number}}}'
        answer = server.client.post("/v1/chat/completions", content=body)
        assert answer.status_code == 400, (name, answer.text)
        assert answer.json()["error"].startswith(name)
        assert len(answer.json()["error"]) < 300
    assert chat(server.client, max_tokens=1).status_code == 200


@pytest.mark.parametrize("bias", ['{"5": 1' + "0" * 400 + "}", '{"5": 1e999}', '{"' + "9" * 400 + '": 1}', '{"5": []}'])
def test_absurd_biases_are_refused(server: ServeProcess, bias: str) -> None:
    body = f'{{"messages": [{{"role": "user", "content": "x"}}], "logit_bias": {bias}}}'
    answer = server.client.post("/v1/chat/completions", content=body)
    assert answer.status_code == 400
    assert "logit_bias must be a dict of int to float" in answer.json()["error"]


@pytest.mark.parametrize("address", ["http://[::1", "//[", "http://[x]/health", "/v1/%00", "*", "/../../etc/passwd"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_addresses_that_are_none_are_answered(server: ServeProcess, address: str, method: str) -> None:
    answer = server.raw(f"{method} {address} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
    assert answer.split()[1] in ((b"400", b"403", b"404") if method != "OPTIONS" else (b"400", b"403", b"204"))
    assert server.get("/health", Host="localhost") == 200


def test_more_than_one_answer_is_refused_with_the_reason(server: ServeProcess) -> None:
    assert "n is 3, and this server gives one answer to a request" in refused(server, n=3)
    assert chat(server.client, n=1, max_tokens=1).status_code == 200


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"messages": [USER] * 5000}, "4096 are the most"),
        ({"stop": ["x" * 5000]}, "4096 characters in all"),
        ({"logit_bias": {str(n): 0 for n in range(2000)}}, "1024 are the most"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}] * 2000}, "1024 are the most"),
        ({"cache_salt": "x" * 300}, "256 characters"),
        ({"role_mapping": {"user": "x" * 2000}}, "1024 characters"),
    ],
)
def test_sizes_that_would_cost_everybody_time_are_refused(
    server: ServeProcess, fields: dict[str, Any], why: str
) -> None:
    answer = server.client.post("/v1/chat/completions", json={"messages": [USER], **fields})
    assert answer.status_code == 400
    assert why in answer.json()["error"]


def test_deep_schemas_are_refused(server: ServeProcess) -> None:
    deep = json.loads("[" * 200 + "]" * 200)
    for body in (
        {"messages": [USER], "tools": [{"type": "function", "function": {"name": "f", "parameters": deep}}]},
        {"messages": [{**USER, "name": deep}]},
    ):
        answer = server.client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 400
        assert "nested more than 64 levels" in answer.json()["error"]


# The thread that generates


def longest_gap(connection: socket.socket, seconds: float) -> float:
    """The longest time between two pieces of a stream, within so many seconds."""
    gaps, last = [0.0], time.monotonic()
    end = last + seconds
    while last < end:
        assert connection.recv(65536)
        now = time.monotonic()
        gaps.append(now - last)
        last = now
    return max(gaps)


@pytest.mark.parametrize("speculation", ["off", {"mode": "fixed", "k": 2, "drafter": "suffix"}])
def test_a_prompt_of_millions_of_characters_does_not_hold_up_another_answer(
    server: ServeProcess, speculation: Any
) -> None:
    """Tokenized in the thread that generates, three of these would hold it up for their whole time."""
    took: list[float] = []

    def ask_much() -> None:
        begun = time.monotonic()
        answer = chat(server.client, "long " * 200_000, max_tokens=1)
        took.append(time.monotonic() - begun)
        assert answer.status_code == 400
        assert "the prompt has 1" in answer.json()["error"]

    with server.stream({"messages": [USER], "max_tokens": 100_000, "speculation": speculation}) as stream:
        threads = [threading.Thread(target=ask_much) for _ in range(3)]
        for thread in threads:
            thread.start()
        gap = longest_gap(stream, 4.0)
        for thread in threads:
            thread.join(60)
    assert len(took) == 3
    assert gap < max(1.0, 0.5 * sum(took) / 3)


def test_a_prompt_that_cannot_fit_is_refused_before_it_is_tokenized(server: ServeProcess) -> None:
    begun = time.monotonic()
    answer = chat(server.client, "x" * 14_000_000, max_tokens=1)
    assert answer.status_code == 400
    assert "the prompt has 14000000 characters, which is more than" in answer.json()["error"]
    assert time.monotonic() - begun < 5


# Connections


def test_silent_connections_keep_nobody_out(server: ServeProcess) -> None:
    silent = []
    try:
        for number in range(360):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=5)
            if number % 3 == 0:
                connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\n")
            silent.append(connection)
        time.sleep(0.3)
        for _ in range(20):
            assert server.get("/health", Host="localhost") == 200
        assert chat(server.client, max_tokens=1).status_code == 200
    finally:
        for connection in silent:
            connection.close()


@pytest.mark.parametrize("speculation", ["off", "adaptive"])
def test_term_while_answers_stream_ends_with_words_and_with_0(target: Path, draft: Path, speculation: str) -> None:
    ends: list[bytes] = []

    def read(connection: socket.socket) -> None:
        with connection:
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
            ends.append(answer)

    with serve_process("--model", target, "--draft-model", draft) as server:
        body = {"messages": [USER], "max_tokens": 400, "speculation": speculation, "temperature": 1.0}
        streams = [server.stream(body) for _ in range(3 if speculation == "off" else 1)]
        threads = [threading.Thread(target=read, args=(one,)) for one in streams]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        begun = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - begun < 10
        for thread in threads:
            thread.join(10)
    for answer in ends:
        assert b"the server is ending" in answer or b"data: [DONE]" in answer
    assert len(ends) == len(streams)
