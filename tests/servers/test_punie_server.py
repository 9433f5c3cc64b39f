"""Our own server, started by its argv as a run starts it: who it is, and its spans in the run's hands."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from punie_trace.servers.command import request_options
from punie_trace.servers.kinds import PunieConfig
from punie_trace.servers.readiness import ServerTimeouts
from punie_trace.servers.server import open_server
from punie_trace.servers.server_spans import fetch_spans
from tests.tiny_model import make_model

pytestmark = pytest.mark.anyio
TIMEOUTS = ServerTimeouts(ready_s=110, poll_s=0.05, stop_s=5)
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return make_model(tmp_path.resolve() / "target", layers=2)


async def test_it_is_the_one_that_was_started_and_hands_its_spans_over(target: Path, tmp_path: Path) -> None:
    config = PunieConfig(model_path=str(target), speculation="adaptive", drafter="suffix")
    async with open_server(config, log_path=tmp_path / "log", timeouts=TIMEOUTS) as server:
        assert server.identity.kind == "punie"
        assert str(server.identity.fingerprint).startswith("punie-")
        assert server.identity.weights_digest is not None
        body = {"messages": [{"role": "user", "content": "ab ab ab ab"}], "max_tokens": 12}
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
            answer = await client.post(
                f"{server.base_url}/chat/completions", json=body | request_options(config), headers=headers
            )
            assert answer.status_code == 200, answer.text
            root = server.base_url.removesuffix("/v1")
            spans = await fetch_spans(client, root, TRACE)
            assert spans is not None
            assert '"server chat"' in spans.lines
            assert '"punie.speculation.drafted"' in spans.lines
            assert await fetch_spans(client, f"{root}/nowhere", TRACE) is None


async def test_it_forgets_when_it_is_told_to(target: Path, tmp_path: Path) -> None:
    config = PunieConfig(model_path=str(target), speculation="adaptive", drafter="suffix", memory="server")
    body = {"messages": [{"role": "user", "content": "once more"}], "max_tokens": 4, **request_options(config)}
    async with (
        open_server(config, log_path=tmp_path / "log", timeouts=TIMEOUTS) as server,
        httpx2.AsyncClient(trust_env=False, timeout=60) as client,
    ):

        async def cached() -> int:
            answer = await client.post(f"{server.base_url}/chat/completions", json=body)
            return answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"]

        first = await cached()  # what it shares with the probe of whether the server is ready
        assert await cached() > first
        assert await server.forget() is None
        assert await cached() == 0
