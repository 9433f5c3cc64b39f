"""Every request that cannot be served is told why, with a 4xx, and the next one is served as if nothing had been."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.serving.asking import chat, sample

USER = {"role": "user", "content": "x"}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "messages must be a list that is not empty"),
    ({"messages": "x"}, "messages must be a list"),
    ({}, "messages must be a list"),
    ({"messages": ["x"]}, r"messages\[0\] must be an object"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, r"messages\[0\].role is 'wizard'; .*roles are: system"),
    ({"messages": [{"content": "x"}]}, r"messages\[0\].role is nothing"),
    ({"messages": [{"role": "user", "content": 3}]}, r"messages\[0\].content must be a text"),
    ({"messages": [{"role": "user", "content": [{"type": "sound"}]}]}, r"content\[0\] must be like"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y"}}]}]}, "image"),
    ({"messages": [{"role": "user"}]}, "has no content"),
    ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, r"tool_calls\[0\] must be like"),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}]},
        "arguments is not JSON",
    ),
    ({"messages": [USER], "tools": {}}, "tools must be a list"),
    ({"messages": [USER], "tools": [{"type": "function"}]}, r"tools\[0\] must be like"),
    ({"messages": [USER], "max_tokens": 0}, "max_tokens must be at least 1"),
    ({"messages": [USER], "max_tokens": -1}, "max_tokens must be at least 1"),
    ({"messages": [USER], "max_tokens": "8"}, "max_tokens must be a number, not a text"),
    ({"messages": [USER], "max_tokens": True}, "max_tokens must be a number, not true or false"),
    ({"messages": [USER], "temperature": -1}, "temperature must be at least 0"),
    ({"messages": [USER], "temperature": "hot"}, "temperature must be a number"),
    ({"messages": [USER], "top_k": 10**6}, "top_k must be less than the vocabulary"),
    ({"messages": [USER], "logit_bias": {"9999999": 1}}, "logit_bias names the token 9999999"),
    ({"messages": [USER], "logit_bias": {"-1": 1}}, "logit_bias names the token -1"),
    ({"messages": [USER], "logit_bias": {"x": 1}}, "logit_bias must be a dict of int to float"),
    ({"messages": [USER], "seed": -1}, "seed must be between 0"),
    ({"messages": [USER], "seed": 2**70}, "seed must be between 0"),
    ({"messages": [USER], "seed": 1.5}, "seed must be a whole number"),
    ({"messages": [USER], "stream": "yes"}, "stream must be of type bool"),
    ({"messages": [USER], "stream": True, "stream_options": []}, "stream_options must be an object"),
    ({"messages": [USER], "stop": [""]}, "stop must be a text or a list of texts, none of them empty"),
    ({"messages": [USER], "stop": [3]}, "stop must be a text"),
    ({"messages": [USER], "stop": ["x"] * 65}, "stop holds 65 texts"),
    ({"messages": [USER], "model": 3}, "model must be a name"),
    ({"messages": [USER], "chat_template_kwargs": []}, "chat_template_kwargs must be an object"),
    ({"messages": [{"role": "user", "content": "\ud800"}]}, "surrogate"),
    ({"messages": [{"role": "user", "content": "long " * 400}]}, "the prompt has 20.. tokens, and the model takes 512"),
    ({"messages": [USER], "speculation": "often"}, "speculation.mode is 'often'"),
    ({"messages": [USER], "speculation": 3}, "speculation must be a mode"),
    ({"messages": [USER], "speculation": {"K": 3}}, "speculation has no key 'K'"),
    ({"messages": [USER], "speculation": {"mode": "fixed", "k": 0}}, "speculation.k must be between 1 and 64"),
    ({"messages": [USER], "speculation": {"drafter": "guess"}}, "speculation.drafter is 'guess'"),
    ({"messages": [USER], "speculation": {"min_acceptance": 2}}, "min_acceptance must be between 0 and 1"),
    ({"messages": [USER], "speculation": {"tree": "yes"}}, "tree must be true or false"),
    ({"messages": [USER], "num_draft_tokens": 1000}, "num_draft_tokens must be between 1 and 64"),
    ({"messages": [USER], "timings": "yes"}, "timings must be true or false"),
    ({"messages": [USER], "cache_salt": 3}, "cache_salt must be a text"),
]


@pytest.mark.parametrize(("body", "why"), BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("stream", [False, True])
def test_a_bad_request_is_told_why(client: httpx2.Client, body: dict[str, Any], why: str, stream: bool) -> None:
    import json
    import re

    raw = json.dumps({"stream": stream, **body})  # lone surrogates stay escaped, as a client would send them
    answer = client.post("/v1/chat/completions", content=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert re.search(why, answer.json()["error"])
    assert chat(client, max_tokens=1).status_code == 200


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "must be a JSON object, not a list"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 200_000, "nested too deeply|not JSON"),
        (b'{"temperature": NaN}', "NaN is not JSON"),
        (b'{"seed": ' + b"9" * 10_000 + b"}", "not JSON"),
    ],
)
def test_a_body_that_is_no_object(client: httpx2.Client, raw: bytes, why: str) -> None:
    import re

    answer = client.post("/v1/chat/completions", content=raw)
    assert answer.status_code == 400
    assert re.search(why, answer.json()["error"])


@pytest.mark.parametrize("prompt", ["", None, 3, ["a"]])
def test_a_text_completion_needs_a_text(client: httpx2.Client, prompt: object) -> None:
    answer = client.post("/v1/completions", json={"prompt": prompt})
    assert answer.status_code == 400
    assert "prompt must be a text that is not empty" in answer.json()["error"]


def test_a_model_that_is_not_there(client: httpx2.Client) -> None:
    answer = chat(client, model="no-such-folder")
    assert answer.status_code == 404
    assert "there is no model 'no-such-folder'" in answer.json()["error"]
    assert chat(client, max_tokens=1).status_code == 200


def raw_request(client: httpx2.Client, head: bytes, body: bytes = b"", *, close: bool = False) -> bytes:
    parts = urlsplit(str(client.base_url))
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=10) as connection:
        connection.sendall(head + b"\r\n\r\n" + body)
        if close:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def test_lengths_that_are_none_or_too_long(client: httpx2.Client) -> None:
    post = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
    assert b" 411 " in raw_request(client, post + b"Transfer-Encoding: chunked").splitlines()[0]
    assert b" 400 " in raw_request(client, post + b"Content-Length: -5").splitlines()[0]
    huge = raw_request(client, post + b"Content-Length: 99999999999", b"x" * 100_000, close=True)
    assert b" 413 " in huge.splitlines()[0]
    assert b"--max-body-bytes" in huge
    short = raw_request(client, post + b"Content-Length: 50", b"{}", close=True)
    assert b" 400 " in short.splitlines()[0]
    assert b"ended after 2 of 50 bytes" in short


def test_paths_that_are_not_there(client: httpx2.Client) -> None:
    assert client.get("/v2").status_code == 404
    assert client.post("/v1/embeddings", json={}).status_code == 404
    assert client.get("/spans").status_code == 400
    assert client.get("/spans?trace_id=xyz").status_code == 400


def test_refusals_are_counted(client: httpx2.Client) -> None:
    before = sample(client.get("/metrics").text, "punie_trace_requests_refused_total")
    chat(client, max_tokens=0)
    client.post("/v1/chat/completions", content=b"{")
    assert sample(client.get("/metrics").text, "punie_trace_requests_refused_total") == before + 2
