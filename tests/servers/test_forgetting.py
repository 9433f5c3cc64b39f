"""Which servers can be made to forget, and what is said of the others."""

from __future__ import annotations

import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from punie_trace.servers.config import server_config
from punie_trace.servers.forgetting import forget

pytestmark = pytest.mark.anyio
PUNIE = server_config({"kind": "punie", "model_path": "m"})


class Answering(BaseHTTPRequestHandler):
    statuses: ClassVar[list[int]] = []

    def do_POST(self) -> None:
        self.send_response(self.statuses.pop(0) if self.path == "/forget" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Not to stderr."""


@pytest.fixture
def address() -> Generator[str]:
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()
        thread.join()


async def test_a_server_that_is_busy_is_asked_until_it_has_forgotten(address: str) -> None:
    Answering.statuses = [202, 202, 200]
    assert await forget(PUNIE, address) is None
    assert Answering.statuses == []


async def test_what_went_wrong_is_said(address: str) -> None:
    Answering.statuses = [403]
    assert await forget(PUNIE, address) == f"the server answered 403 to {address.removesuffix('/v1')}/forget"
    reason = await forget(PUNIE, "http://127.0.0.1:1/v1")
    assert reason is not None
    assert "could not be asked" in reason


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("mlx_lm", {"model_path": "m"}),
        ("command", {"command": ["serve", "{port}"], "model": "m"}),
        ("url", {"url": "http://127.0.0.1:1/v1"}),
    ],
)
async def test_other_servers_cannot_be_made_to_forget(kind: str, settings: dict[str, object]) -> None:
    reason = await forget(server_config({"kind": kind, **settings}), "http://127.0.0.1:1/v1")
    assert reason is not None
    instead = "restart it" if kind == "url" else "fresh = 'restart' starts it anew in each round"
    assert f"a server of kind {kind!r} cannot be made to forget; {instead}" in reason
    assert ("prompt_cache_size" in reason) == (kind == "mlx_lm")
