"""A server in a process of its own, started by the command line, and raw requests to it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

READY_S = 110.0


@dataclass(frozen=True)
class ServeProcess:
    client: httpx2.Client
    process: subprocess.Popen[bytes]
    port: int

    def raw(self, text: str | bytes, *, timeout: float = 20) -> bytes:
        """Send these bytes, and read until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            connection.sendall(text.encode() if isinstance(text, str) else text)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
            return answer

    def get(self, path: str, **headers: str) -> int:
        """The status of a GET with exactly these headers."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return int(self.raw(f"GET {path} HTTP/1.1\r\n{lines}\r\n").split()[1])

    def stream(self, body: dict[str, Any]) -> socket.socket:
        """A connection on which a streamed answer has begun."""
        raw = json.dumps({"stream": True, **body}).encode()
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(raw)}\r\n\r\n"
        connection.sendall(head.encode() + raw)
        assert connection.recv(12) == b"HTTP/1.0 200"
        return connection

    def end(self) -> int:
        """TERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@contextmanager
def serve_process(*flags: str | Path) -> Generator[ServeProcess]:
    """`punie-trace serve` with these flags, ready; killed at the end if it has not ended by then."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    argv = [sys.executable, "-m", "punie_trace", "serve", "--otlp", "off", "--port", str(port), *map(str, flags)]
    process = subprocess.Popen([*argv, "--log-level", "ERROR"])
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
            _wait_until_ready(client, process)
            yield ServeProcess(client, process, port)
    finally:
        process.kill()
        process.wait(20)


def _wait_until_ready(client: httpx2.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        assert process.poll() is None, f"the server ended with {process.returncode}"
        assert time.monotonic() < deadline, "the server did not get ready"
        try:
            if client.get("/health").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
