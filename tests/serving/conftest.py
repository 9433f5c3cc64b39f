"""A tiny pair of models, and a server of them that runs in this process, on a port of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.tiny_model import make_model

READY_S = 110.0  # the first draw at a temperature has MLX call a compiler, which a busy machine gives little time


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models").resolve() / "target", layers=2)


@pytest.fixture(scope="session")
def draft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models").resolve() / "draft", layers=1)


@pytest.fixture(scope="session")
def serve() -> Callable[..., object]:
    """Runs a server in threads of this process; gives a client of it."""

    @contextmanager
    def run(*flags: str, **options: object) -> Generator[httpx2.Client]:
        from punie_trace.serving.serve import ServeOptions, read_flags, running

        host, port, args = read_flags([*flags, "--port", "0", "--log-level", "ERROR"])
        made = ServeOptions(**{"otlp": "off", **options})  # ty: ignore[invalid-argument-type]
        with running(host, port, args, made) as (server, failure):
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
            thread.start()
            address = f"http://127.0.0.1:{server.server_address[1]}"
            with httpx2.Client(base_url=address, trust_env=False, timeout=READY_S) as client:
                try:
                    _wait_until_ready(client, failure)
                    yield client
                finally:
                    server.shutdown()
                    thread.join(READY_S)
        assert not thread.is_alive()

    return run


def _wait_until_ready(client: httpx2.Client, failure: list[str]) -> None:
    import time

    deadline = time.monotonic() + READY_S
    while client.get("/health").status_code != 200:
        assert not failure, failure
        assert time.monotonic() < deadline, "the server did not get ready"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def client(serve: Callable[..., object], target: Path, draft: Path) -> Generator[httpx2.Client]:
    """A server of the tiny pair, shared by the tests of a module: each must leave it whole."""
    with serve("--model", str(target), "--draft-model", str(draft), "--max-tokens", "8") as client:  # ty: ignore[invalid-context-manager]
        yield client
