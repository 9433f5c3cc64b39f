"""The real `mlx_lm server`, on a model that is made here: two layers of random weights and a tokenizer of bytes."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import anyio
import httpx2
import psutil
import pytest

from punie_trace.errors import IdentityError, ServerError
from punie_trace.models.weights_digest import weights_digest
from punie_trace.records import Generation
from punie_trace.servers.blas import find_openblas
from punie_trace.servers.command import request_options
from punie_trace.servers.config import ServerConfig
from punie_trace.servers.kinds import MlxLmConfig
from punie_trace.servers.readiness import ServerTimeouts
from punie_trace.servers.server import Server, open_server
from tests.tiny_model import make_model

pytestmark = pytest.mark.anyio

TIMEOUTS = ServerTimeouts(ready_s=90, poll_s=0.05, stop_s=5)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models").resolve() / "target", layers=2)


@pytest.fixture(scope="module")
def draft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models").resolve() / "draft", layers=1)


async def ask(server: Server, config: ServerConfig) -> dict[str, object]:
    body = {"model": server.request_model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        answer = await client.post(f"{server.base_url}/chat/completions", json=body | request_options(config))
        answer.raise_for_status()
        return answer.json()


async def test_a_pair_is_served_by_one_process_for_all_its_configurations(
    target: Path, draft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    first = MlxLmConfig(model_path=str(target), draft_model=str(draft), num_draft_tokens=2, stop_sequences=("\x07",))
    second = first.model_copy(update={"num_draft_tokens": 4})
    async with open_server(first, log_path=tmp_path / "log", timeouts=TIMEOUTS) as server:
        identity = server.identity
        assert server.request_model == "default_model"
        assert identity.model == str(target)
        assert identity.draft_model == str(draft)
        expected = weights_digest([target / "model.safetensors"])
        assert expected is not None
        assert (identity.weights_digest, identity.digest_kind) == (expected.hex, "whole")
        assert identity.draft_digest not in (None, identity.weights_digest)
        assert identity.version is not None
        assert str(identity.fingerprint).startswith(f"{identity.version}-")
        assert identity.device
        if sys.platform == "linux":
            assert str(identity.blas).startswith("openblas" if find_openblas() else "reference")
        assert identity.pid is not None
        assert "mlx_lm" in psutil.Process(identity.pid).cmdline()
        answers = [await ask(server, config) for config in (first, second)]
        assert answers[0]["choices"] == answers[1]["choices"]  # greedy: the number of drafts changes no word
        seen = Generation(0, 1, status=200, served_model="default_model", fingerprint=identity.fingerprint)
        server.verify(seen)
        with pytest.raises(IdentityError, match="'default_model' was asked and 'Qwen/other' answered"):
            server.verify(replace(seen, served_model="Qwen/other"))
        memory = server.memory()
        assert memory is not None
        assert memory.peak_bytes > 50 << 20  # mlx and transformers alone
        assert memory.peak_bytes != psutil.Process().memory_info().rss
        pid = identity.pid
        psutil.Process(pid).kill()
        psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
        with anyio.fail_after(10):
            while server.failure() is None:  # noqa: ASYNC110
                await anyio.sleep(0.02)
        with pytest.raises(ServerError, match="was ended by SIGKILL"):
            server.verify(seen)
    assert not psutil.pid_exists(pid)


async def test_weights_that_do_not_fit_are_an_error_at_once(target: Path, tmp_path: Path) -> None:
    """The server goes on listening after its generation thread died; the request for a token finds out."""
    broken = Path(shutil.copytree(target, tmp_path / "broken"))
    config = json.loads((broken / "config.json").read_text()) | {"hidden_size": 48}
    (broken / "config.json").write_text(json.dumps(config))
    with pytest.raises(ServerError, match=r"generation thread died[\s\S]*Its last output:[\s\S]*shape"):
        async with open_server(MlxLmConfig(model_path=str(broken)), log_path=tmp_path / "log", timeouts=TIMEOUTS):
            pytest.fail("it opened")
