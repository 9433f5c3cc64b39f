"""Rows of `faults` about the server in the package: what clients, web pages and signals may do to it.

One server of the shipped model is started for all of them. After each try it must answer an ordinary request.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2

from punie_trace.models import shipped_model

Tries = Iterator[tuple[str, str | None]]
CHAT = "/v1/chat/completions"
USER = {"role": "user", "content": "What is REST?"}
READY_S = 90.0
_servers: dict[str, tuple[subprocess.Popen[bytes], int]] = {}


def _started(name: str = "shared", *flags: str) -> tuple[subprocess.Popen[bytes], int]:
    """The server of that name, started where it does not run yet."""
    if name not in _servers:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        model = str(shipped_model()[0])
        command = [sys.executable, "-m", "punie_trace", "serve", "--model", model, "--port", str(port)]
        options = ["--otlp", "off", "--log-level", "ERROR", *flags]
        process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        _servers[name] = process, port
        deadline = time.monotonic() + READY_S
        while _status(port, "GET", "/health", within_s=2) != 200:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the server did not get ready")
            time.sleep(0.1)
    return _servers[name]


def stop_server() -> None:
    """End what was started here."""
    for process, _ in _servers.values():
        process.kill()
        process.wait(20)
    _servers.clear()


def _status(port: int, method: str, path: str, body: Any = None, within_s: float = 30, **headers: str) -> int:
    """The status of the answer; 0 where there is none."""
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=within_s) as client:
            return client.request(method, path, json=body, headers=headers).status_code
    except httpx2.HTTPError:
        return 0


def _raw(port: int, data: bytes, within_s: float = 15) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=within_s) as connection:
        connection.sendall(data)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def _lives() -> str | None:
    """Whether an ordinary request is answered."""
    process, port = _started()
    if process.poll() is not None:
        _servers.pop("shared")
        return f"the server ended with {process.returncode}"
    status = _status(port, "POST", CHAT, {"messages": [USER], "max_tokens": 2}, within_s=20)
    return None if status == 200 else f"an ordinary request is answered with {status} now"


def _refused(bodies: dict[str, Any], path: str = CHAT) -> Tries:
    """Each body must be refused in time, and the server live on."""
    _, port = _started()
    for what, body in bodies.items():
        begun = time.monotonic()
        status = _status(port, "POST", path, body)
        late = f"after {time.monotonic() - begun:.0f} s" if time.monotonic() - begun > 20 else None
        yield what, (None if 400 <= status < 500 else f"status {status}") or late or _lives()


def template_arguments(_folder: Path, _chance: random.Random) -> Tries:
    """`chat_template_kwargs` that name the template, the tokenizer's options, or hold too much."""
    kwargs: dict[str, Any] = {
        "the template itself": {"chat_template": "{% for a in range(10**9) %}{% endfor %}"},
        "padding": {"padding": "max_length", "max_length": 10**9},
        "messages": {"messages": [{}] * 9},
        "no name": {"__class__": 1},
        "a huge text": {"x": "x" * 1_000_000},
        "many values": {"x": [1] * 100_000},
        "depth": {"x": json.loads("[" * 100 + "]" * 100)},
    }
    yield from _refused({what: {"messages": [USER], "chat_template_kwargs": one} for what, one in kwargs.items()})


def numbers_and_shapes(_folder: Path, _chance: random.Random) -> Tries:
    """Absurd numbers, wrong types, more than one answer, other models, tools and biases without end."""
    plain = {"messages": [USER]}
    yield from _refused(
        {
            "400 digits": plain | {"max_tokens": int("9" * 400)},
            "1e30": plain | {"temperature": 1e30},
            "n = 2": plain | {"n": 2},
            "another model": plain | {"model": "/etc"},
            "another draft": plain | {"draft_model": "org/model"},
            "biases": plain | {"logit_bias": {str(n): 1 for n in range(5000)}},
            "stops": plain | {"stop": ["x"] * 1000},
            "messages that are none": {"messages": 7},
            "5000 messages": {"messages": [USER] * 5000},
            "a role that is none": {"messages": [{"role": "x", "content": "y"}]},
            "a deep schema": plain | {"tools": [{"type": "function", "function": json.loads('{"name":"a","parameters":'
                                                 + '{"a":' * 90 + "1" + "}" * 90 + "}")}]},
        }
    )  # fmt: skip


def long_prompts(_folder: Path, _chance: random.Random) -> Tries:
    """A prompt of 14 MB while another answer streams: refused in time, and the stream goes on."""
    _, port = _started()
    gaps: list[float] = []

    def stream() -> None:
        body = {"messages": [USER], "max_tokens": 400, "stream": True, "logit_bias": {"2": -100}}
        last = time.monotonic()
        address = f"http://127.0.0.1:{port}{CHAT}"
        with httpx2.Client(trust_env=False, timeout=60) as client, client.stream("POST", address, json=body) as answer:
            for _ in answer.iter_raw():
                gaps.append(time.monotonic() - last)
                last = time.monotonic()

    thread = threading.Thread(target=stream, daemon=True)
    thread.start()
    time.sleep(0.5)
    begun = time.monotonic()
    status = _status(port, "POST", CHAT, {"messages": [{"role": "user", "content": "x" * 14_000_000}]})
    took = time.monotonic() - begun
    thread.join(60)
    yield "14 MB", None if status in (400, 413) and took < 15 else f"status {status} after {took:.0f} s"
    yield (
        "the other's stream",
        None if gaps and max(gaps[1:], default=9.0) < 5 else f"a gap of {max(gaps, default=0)} s",
    )
    yield "the server", _lives()


def web_pages(_folder: Path, _chance: random.Random) -> Tries:
    """Hosts and origins of web pages, on every address; none may read or ask."""
    _, port = _started()
    for path in ("/health", "/metrics", "/identity", "/v1/models", "/spans?trace_id=" + "a" * 32):
        for name, value in (("Host", "evil.example"), ("Origin", "https://evil.example")):
            status = _status(port, "GET", path, None, 20, **{name: value})
            yield f"{name} {path}", None if status == 403 else f"status {status}"
    for path in (CHAT, "/v1/completions", "/forget"):
        status = _status(port, "POST", path, {"messages": [USER]}, 20, Origin="https://evil.example")
        yield f"Origin {path}", None if status == 403 else f"status {status}"


def bytes_that_are_no_request(_folder: Path, chance: random.Random) -> Tries:
    """Malformed addresses, lines without end, lengths that lie, noise: an answer or a closed connection, in time."""
    _, port = _started()
    cases = {
        "a malformed address": b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "an address of 100 kB": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        "headers without end": b"GET /health HTTP/1.1\r\n" + b"x: y\r\n" * 5000 + b"\r\n",
        "a length of 400 digits": b"POST /v1/completions HTTP/1.1\r\nContent-Length: " + b"9" * 400 + b"\r\n\r\n",
        "a length below zero": b"POST /v1/completions HTTP/1.1\r\nContent-Length: -1\r\n\r\n{}",
        "two lengths": b"POST /v1/completions HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "noise": chance.randbytes(2000) + b"\r\n\r\n",
    }
    for what, data in cases.items():
        try:
            answer = _raw(port, data)
            problem = None if not answer or answer[:5] == b"HTTP/" or b"rror" in answer else f"it said {answer[:80]!r}"
        except ConnectionError:
            problem = None
        except TimeoutError:
            problem = "no answer within 15 s"
        yield what, problem or _lives()


def idle_connections(_folder: Path, _chance: random.Random) -> Tries:
    """360 connections that say nothing keep nobody out."""
    _, port = _started()
    idle = []
    try:
        for _ in range(360):
            idle.append(socket.create_connection(("127.0.0.1", port), timeout=5))  # noqa: PERF401 - closed if one fails
        yield "360 of them", _lives()
    finally:
        for one in idle:
            one.close()
    yield "afterwards", _lives()


def quadratic_template(_folder: Path, _chance: random.Random) -> Tries:
    """A chat template that takes the cube of the messages: interrupted, and another request is answered meanwhile."""
    loops = "".join(f"{{% for m{n} in messages %}}" for n in range(3)) + "{% endfor %}" * 3
    process, port = _started("cubic", "--chat-template", f"{{% if messages | length > 2 %}}{loops}{{% endif %}}x")
    status: list[int] = []
    many = {"messages": [{"role": "user", "content": "y"}] * 3000}
    thread = threading.Thread(target=lambda: status.append(_status(port, "POST", CHAT, many, 90)), daemon=True)
    begun = time.monotonic()
    thread.start()
    other = _status(port, "POST", CHAT, {"messages": [USER], "max_tokens": 2}, within_s=30)
    yield "another request meanwhile", None if other == 200 else f"status {other}"
    thread.join(90)
    took = time.monotonic() - begun
    yield "its own request", None if status == [400] and took < 60 else f"status {status} after {took:.0f} s"
    process.kill()


def term_while_it_streams(_folder: Path, _chance: random.Random) -> Tries:
    """TERM while an answer streams: exit code 0, in time, without an abort."""
    for number in range(3):
        process, port = _started(f"term-{number}")
        raw = json.dumps({"messages": [USER], "max_tokens": 4000, "stream": True, "logit_bias": {"2": -100}}).encode()
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(raw)}\r\n\r\n"
            connection.sendall(head.encode() + raw)
            connection.recv(4096)
            os.kill(process.pid, signal.SIGTERM)
            try:
                code = process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                code = -9
        yield f"try {number + 1}", None if code == 0 else f"exit code {code}"


SERVE_ROWS = {
    "serve: template arguments": template_arguments,
    "serve: numbers and shapes": numbers_and_shapes,
    "serve: prompts of 14 MB": long_prompts,
    "serve: hosts and origins of pages": web_pages,
    "serve: bytes that are no request": bytes_that_are_no_request,
    "serve: 360 idle connections": idle_connections,
    "serve: a template without end": quadratic_template,
    "serve: TERM while it streams": term_while_it_streams,
}
