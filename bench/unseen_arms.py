"""The arms of `unseen`: their servers, an agent for each, and a client that keeps what it sent and how long it took.

A script of the bench's own: it is not run by itself.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from padded import pad

from punie_trace.agent.asker import AskerContext
from punie_trace.agent.by_workspace import by_workspace
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.driver.target import Target
from punie_trace.engine.askers import open_asker
from punie_trace.engine.experiment import Experiment
from punie_trace.engine.plan import Plan, PlannedConfiguration
from punie_trace.engine.settings import AgentSettings
from punie_trace.engine.targets import NO_KEY, ask_options
from punie_trace.engine.turn_limits import SHIPPED_MAX_TOKENS, SHIPPED_TOOL_OUTPUT_CHARS
from punie_trace.http_clients import async_transport
from punie_trace.models import shipped_model
from punie_trace.proxy_routes import route_to
from punie_trace.servers.server import Server, open_server
from punie_trace.spans.clock import Clock
from punie_trace.spans.provider import ClockTracerProvider
from punie_trace.spans.transport import TracedTransport

FIXED = tuple(f"K={k}" for k in (2, 3, 5, 7, 10))
OURS = {"adaptive": "hybrid", "model": "model", "suffix": "suffix", "ngram": "ngram"}
ARMS = ("plain", *FIXED, *OURS)
REQUEST_S = 120.0


def model_folder(folder: Path, size: int) -> tuple[Path, Path]:
    """The target and its draft. Of a size (MB) the target is padded, and written below `folder` once."""
    target, draft = shipped_model()
    if not size:
        return target, draft
    wanted = folder / f"padded-{size}"
    if not wanted.is_dir():
        import mlx.core as mx
        from mlx.utils import tree_flatten
        from mlx_lm import load

        part = folder / f"padded-{size}.part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(target, part)
        model = pad(load(str(target))[0], size * 1_000_000)
        mx.save_safetensors(
            str(part / "model.safetensors"), dict(tree_flatten(model.parameters())), metadata={"format": "mlx"}
        )
        config = json.loads((part / "config.json").read_text())
        config["intermediate_size"] = model.layers[0].mlp.gate_proj.weight.shape[0]
        (part / "config.json").write_text(json.dumps(config, indent=1))
        part.rename(wanted)
    return wanted.absolute(), draft


def experiment_of(target: Path, draft: Path, arms: tuple[str, ...], questions: int, seed: int) -> Experiment:
    """The arms as configurations: no prompt caches, the shipped model's limits, each of ours in a process alone."""
    chosen: dict[str, dict[str, Any]] = {}
    for arm in arms:
        if arm in OURS:
            own: dict[str, Any] = {"kind": "punie", "speculation": "adaptive", "drafter": OURS[arm]}
            own |= {"cache_salt": arm, "environment": {"PUNIE_TRACE_BENCH_ARM": arm}}
            if OURS[arm] in ("hybrid", "model"):
                own["draft_model"] = str(draft)
        elif arm in FIXED:
            own = {"kind": "mlx_lm", "draft_model": str(draft), "num_draft_tokens": int(arm.removeprefix("K="))}
        else:
            own = {"kind": "mlx_lm"}
        chosen[arm] = own
    return Experiment(
        suite=f"fresh:{questions}",
        seed=seed,
        path="agent",
        together=True,
        server={"model_path": str(target), "prompt_cache_size": 0},
        configurations=chosen,
        agent=AgentSettings(max_tokens=SHIPPED_MAX_TOKENS, tool_output_chars=SHIPPED_TOOL_OUTPUT_CHARS),
    )


@dataclass
class Exchange:
    """One request and how long it took: from the first step on the network to the last byte."""

    body: dict[str, Any]
    seconds: float = 0.0
    received: bytearray = field(default_factory=bytearray)

    @property
    def memory(self) -> int | None:
        """Bytes that drafting held, where the answer says so."""
        for line in self.received.split(b"\n"):
            if line.startswith(b"data: {") and b'"timings"' in line:
                return json.loads(line[6:])["timings"].get("speculation", {}).get("memory_bytes")
        return None


class RememberingTransport(httpx2.AsyncBaseTransport):
    """Passes everything on, and keeps bodies and times of generation requests."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, exchanges: list[Exchange]) -> None:
        self._inner = inner
        self._exchanges = exchanges

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """As the wrapped transport."""
        if not request.url.path.endswith("/chat/completions"):
            return await self._inner.handle_async_request(request)
        exchange = Exchange(json.loads(request.content))
        begun = time.perf_counter()
        response = await self._inner.handle_async_request(request)
        self._exchanges.append(exchange)
        return httpx2.Response(
            status_code=response.status_code,
            headers=response.headers,
            stream=_TimedStream(response.stream, exchange, begun),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close the wrapped transport."""
        await self._inner.aclose()


class _TimedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: Any, exchange: Exchange, begun: float) -> None:
        self._inner = inner
        self._exchange = exchange
        self._begun = begun

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._inner:
            self._exchange.seconds = time.perf_counter() - self._begun
            self._exchange.received += data
            yield data

    async def aclose(self) -> None:
        await self._inner.aclose()


@dataclass
class OpenArm:
    """An arm that can be asked; `exchanges` are the requests since it was last emptied."""

    target: Target
    client: httpx2.AsyncClient
    exchanges: list[Exchange]
    target_bytes: int

    async def again(self, exchange: Exchange) -> Exchange:
        """The same request with one token at most; our server keeps what it reads apart, and tells its memory."""
        body = dict(exchange.body)
        limits = [key for key in ("max_tokens", "max_completion_tokens") if key in body] or ["max_tokens"]
        body |= dict.fromkeys(limits, 1)
        if "cache_salt" in body:
            body |= {"cache_salt": f"{body['cache_salt']}, one token", "timings": True}
        count = len(self.exchanges)
        async with self.client.stream("POST", "chat/completions", json=body, timeout=REQUEST_S) as response:
            async for _ in response.aiter_bytes():
                pass
        if response.status_code != httpx2.codes.OK:
            raise RuntimeError(f"a request with one token was answered with {response.status_code}")
        return self.exchanges.pop(count)


async def open_arms(
    stack: AsyncExitStack,
    plan: Plan,
    folder: Path,
    workspaces: Mapping[str, Workspace],
    provider: ClockTracerProvider,
    clock: Clock,
) -> dict[str, OpenArm]:
    """Servers up, an agent for each arm; all end with `stack`."""
    boxes = {
        name: Toolbox(workspace, max_chars=plan.turn_limits.tool_output_chars) for name, workspace in workspaces.items()
    }
    servers: dict[str, Server] = {}
    arms = {}
    (folder / "servers").mkdir(exist_ok=True)
    for configuration in plan.configurations:
        if (server := servers.get(configuration.group)) is None:
            log = folder / "servers" / f"{configuration.group}.log"
            server = await stack.enter_async_context(open_server(configuration.server, log_path=log))
            servers[configuration.group] = server
        arms[configuration.name] = await _open_arm(stack, plan, configuration, server, boxes, provider, clock)
    return arms


async def _open_arm(
    stack: AsyncExitStack,
    plan: Plan,
    configuration: PlannedConfiguration,
    server: Server,
    boxes: Mapping[str, Toolbox],
    provider: ClockTracerProvider,
    clock: Clock,
) -> OpenArm:
    base_url = f"{server.base_url.rstrip('/')}/"
    exchanges: list[Exchange] = []
    inner = RememberingTransport(async_transport(route_to(base_url)), exchanges)
    client = await stack.enter_async_context(
        httpx2.AsyncClient(
            transport=TracedTransport(provider, clock, inner, tidy=True),
            base_url=base_url,
            headers={"Authorization": f"Bearer {NO_KEY}"},
            trust_env=False,
        )
    )
    limits = plan.turn_limits
    options = ask_options(
        configuration, server.request_model, limits.max_tokens, plan.experiment.agent_settings.max_requests
    )
    askers = {
        name: await open_asker("agent", stack, AskerContext(base_url, NO_KEY, client, options, box, provider, clock))
        for name, box in boxes.items()
    }
    target = Target(
        configuration=configuration.name,
        path="agent",
        ask=by_workspace(askers).ask,
        verify=server.verify,
        alive=lambda: None,
        memory=configuration.name,
    )
    return OpenArm(target, client, exchanges, _bytes_of(str(configuration.server.model_path)))


def _bytes_of(model: str) -> int:
    return sum(file.stat().st_size for file in Path(model).glob("model*.safetensors"))
