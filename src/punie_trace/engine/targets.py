"""From a configuration and its running server to what the driver asks: the path, its HTTP client, its checks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

import anyio
import httpx2
from opentelemetry.trace import TracerProvider

from punie_trace.agent.asker import AskerContext
from punie_trace.agent.by_workspace import by_workspace
from punie_trace.agent.options import AskOptions
from punie_trace.agent.program_process import KeptOutputs
from punie_trace.agent.salted_transport import SaltedTransport
from punie_trace.agent.tool_runner import argument_defaults
from punie_trace.agent.toolbox import Toolbox
from punie_trace.driver.load import COLLECT_S
from punie_trace.driver.target import Target
from punie_trace.engine.askers import open_asker
from punie_trace.engine.plan import PlannedConfiguration
from punie_trace.errors import ServerError
from punie_trace.http_clients import async_transport
from punie_trace.proxy_routes import route_to
from punie_trace.records import Generation
from punie_trace.servers.command import is_salted
from punie_trace.servers.server import Server
from punie_trace.servers.server_spans import fetch_spans
from punie_trace.spans import names
from punie_trace.spans.clock import Clock
from punie_trace.spans.ingest import ingested_spans, server_source
from punie_trace.spans.provider import ClockTracerProvider
from punie_trace.spans.transport import TracedTransport

NO_KEY = "not-needed"  # the openai client insists on a key; local servers ignore it


def ask_options(configuration: PlannedConfiguration, model: str, max_tokens: int, max_requests: int) -> AskOptions:
    """The options of the configuration's requests; what has an argument of its own leaves the request's body."""
    server = configuration.server
    body = {k: v for k, v in configuration.request.items() if k not in ("temperature", "max_tokens")}
    return AskOptions(
        model=model,
        max_tokens=server.max_tokens or max_tokens,
        max_requests=max_requests,
        temperature=server.temp or 0.0,
        request=body,
        configured=frozenset(
            name
            for name, value in (("temperature", server.temp), ("max_tokens", server.max_tokens))
            if value is not None
        ),
        tools=configuration.tools,
        salted=is_salted(server),
    )


async def http_target(
    stack: AsyncExitStack,
    configuration: PlannedConfiguration,
    server: Server,
    toolboxes: Mapping[str, Toolbox],
    options: AskOptions,
    provider: ClockTracerProvider,
    clock: Clock,
    outputs: KeptOutputs | None = None,
) -> Target:
    """A target for the paths that ask over HTTP; its connections are closed with `stack`."""
    key = server.api_key() or NO_KEY
    base_url = f"{server.base_url.rstrip('/')}/"
    route = route_to(base_url)
    inner: httpx2.AsyncBaseTransport = async_transport(route)
    if configuration.path == "http" and not route.socks:
        # Loaded here because the other paths have no use for it.
        from punie_trace.agent.aiohttp_transport import AiohttpTransport

        inner = AiohttpTransport(route)
    theirs = configuration.path == "imported"
    transport = TracedTransport(
        provider,
        clock,
        inner,
        tidy=theirs or configuration.path == "agent",
        read_requests=theirs,
        origin=base_url if theirs else None,
    )
    client = await stack.enter_async_context(
        httpx2.AsyncClient(
            transport=SaltedTransport(transport, base_url) if options.salted else transport,
            base_url=base_url,
            headers={"Authorization": f"Bearer {key}"},
            trust_env=False,
        )
    )
    askers = {
        name: await open_asker(
            configuration.path,
            stack,
            AskerContext(base_url, key, client, options, toolbox, provider, clock, configuration.agent, outputs),
        )
        for name, toolbox in toolboxes.items()
    }
    asker = by_workspace(askers)

    def alive() -> None:
        if (failure := server.failure()) is not None:
            raise ServerError(f"the server {failure}", server.log_tail())

    collect = None
    if configuration.server.kind == "punie":
        collect = await _collector(stack, server, provider, clock)
    return Target(
        configuration=configuration.name,
        path=configuration.path,
        ask=asker.ask,
        verify=server.verify,
        alive=alive,
        served_model=server.identity.model,
        memory=_memory(configuration),
        remembers=not options.salted,
        forget=server.forget if configuration.server.fresh == "forget" else None,
        defaults=argument_defaults(next(iter(toolboxes.values()))) if configuration.path in ("agent", "http") else {},
        collect=collect,
        prepare=getattr(asker, "prepare", None),
        prepare_session=getattr(asker, "prepare_session", None),
        release=getattr(asker, "release", None),
        converse=getattr(asker, "converse", None),
    )


def _memory(configuration: PlannedConfiguration) -> str:
    """Configurations of one process share what it remembers, but for those that a cache salt keeps apart.

    Those of another tool mode send prompts that begin with other tools: only texts to draft from are shared with them.
    """
    mode = configuration.tools if configuration.server.kind != "punie" else ""
    return f"{configuration.group} {configuration.request.get('cache_salt', '')} {mode}"


async def _collector(
    stack: AsyncExitStack, server: Server, provider: ClockTracerProvider, clock: Clock
) -> Callable[[str], Awaitable[None]]:
    """Takes the spans that our server wrote of a query up into the run."""
    client = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False, timeout=COLLECT_S))
    source = server_source(str(provider.resource.attributes.get(names.RUN_ID, "")))

    async def collect(trace_id: str) -> None:
        found = await fetch_spans(client, server.base_url.removesuffix("/v1"), trace_id)
        if found is not None:
            theirs = Clock(found.anchor_wall_ns, found.anchor_monotonic_ns)
            provider.ingest(ingested_spans(found.lines, theirs, clock, source))

    return collect


async def inprocess_target(
    stack: AsyncExitStack,
    configuration: PlannedConfiguration,
    toolboxes: Mapping[str, Toolbox],
    options: AskOptions,
    provider: TracerProvider,
    clock: Clock,
) -> Target:
    """A target for the path `inprocess`; the model is let go with `stack`. Raises `ModelError`."""
    from punie_trace.agent.inprocess import InprocessModel, InprocessPath

    server = configuration.server

    def load() -> InprocessModel:
        return InprocessModel(options.model, server.draft_model, server.adapter_path)

    model = await anyio.to_thread.run_sync(load)
    stack.callback(model.close)
    tracer = provider.get_tracer("punie_trace")
    asker = by_workspace({name: InprocessPath(model, box, options, tracer, clock) for name, box in toolboxes.items()})
    return Target(
        configuration=configuration.name,
        path=configuration.path,
        ask=asker.ask,
        verify=_nothing_to_verify,
        alive=_always_alive,
        served_model=model.name,
        defaults=argument_defaults(next(iter(toolboxes.values()))),
        converse=getattr(asker, "converse", None),
    )


def _nothing_to_verify(generation: Generation) -> None:
    """In this process nobody else can have answered."""


_always_alive: Callable[[], None] = lambda: None  # noqa: E731
