"""`punie-trace serve`: from flags to a running server. What can be known to be wrong is said before mlx is loaded."""

from __future__ import annotations

from typing import Annotated

import typer

from punie_trace.cli.exits import errors_as_messages
from punie_trace.errors import ConfigurationError, nearest
from punie_trace.serving.served_pair import served_pair
from punie_trace.serving.speculation import MEMORIES
from punie_trace.speculative.registry import drafter_names


def serve(
    context: typer.Context,
    model: Annotated[str | None, typer.Option(help="An MLX model: a folder or a hub name. [the shipped pair]")] = None,
    draft_model: Annotated[str | None, typer.Option(help="A draft model with the same tokens.")] = None,
    drafter: Annotated[
        str | None, typer.Option(help=f"What drafts: {', '.join(drafter_names())}. [what the draft model allows]")
    ] = None,
    adaptive: Annotated[
        bool, typer.Option("--adaptive", help="Choose drafter and length anew in each round, by measured costs.")
    ] = False,
    num_draft_tokens: Annotated[
        int | None, typer.Option(min=0, help="Tokens drafted a round, where they are fixed. [3]")
    ] = None,
    max_draft_memory: Annotated[
        str | None, typer.Option(help="The most that drafting may take, e.g. 500MB; beyond it, decoding is plain.")
    ] = None,
    memory: Annotated[
        str, typer.Option(help=f"What drafts may know of earlier requests: {', '.join(MEMORIES)}.")
    ] = "conversation",
    otlp: Annotated[
        str, typer.Option(help="Send spans to a collector: auto (if one answers), off, or a URL.")
    ] = "auto",
    max_requests: Annotated[int, typer.Option(min=1, help="Requests that may be open at once.")] = 256,
    max_body_bytes: Annotated[int, typer.Option(min=1024, help="The longest body of a request.")] = 16 << 20,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another name by which this server may be reached; can be repeated.")
    ] = None,
    allow_model: Annotated[
        list[str] | None,
        typer.Option(help="Another model, draft or adapter that requests may have loaded, * for any; can be repeated."),
    ] = None,
) -> None:
    """Serve a model with speculative decoding that adapts, and with spans of the server's own time.

    Takes every flag of `mlx_lm.server` as well (--host, --port, --temp, --max-tokens, --prompt-cache-size, ...), and
    speaks the same API; it listens on 127.0.0.1:8080 if not told otherwise. It answers to loopback's names and to those
    of --allow-host, and to pages of no other origin than those of --allowed-origins.
    """
    with errors_as_messages():
        if memory not in MEMORIES:
            raise ConfigurationError(f"--memory {memory!r}: {nearest(memory, MEMORIES)}")
        pair = served_pair(model, draft_model, drafter)
        from punie_trace.servers.config import server_config
        from punie_trace.servers.models import check_models
        from punie_trace.servers.openblas_restart import restart_with_openblas

        check_models(server_config({"kind": "punie", "model_path": pair.model, "draft_model": pair.draft_model}))
        restart_with_openblas()
        from punie_trace.serving.serve import Allowed, ServeOptions, parse_size
        from punie_trace.serving.serve import serve as serve_until_ended

        flags = ["--model", pair.model, *(["--draft-model", pair.draft_model] if pair.draft_model else [])]
        if num_draft_tokens is not None:
            flags += ["--num-draft-tokens", str(num_draft_tokens)]
        options = ServeOptions(
            drafter=drafter,
            adaptive=adaptive,
            memory=memory,
            max_draft_memory=parse_size(max_draft_memory) if max_draft_memory is not None else None,
            otlp=otlp,
            max_requests=max_requests,
            max_body_bytes=max_body_bytes,
            allowed=Allowed(tuple(allow_host or ()), tuple(allow_model or ())),
        )
        serve_until_ended([*flags, *context.args], options)
