"""`punie-trace serve`: from flags to a running server. What can be known to be wrong is said before mlx is loaded."""

from __future__ import annotations

from collections.abc import Sequence

from punie_trace.cli.openblas import restart_with_openblas
from punie_trace.errors import ConfigurationError, nearest
from punie_trace.servers.config import ServerConfig
from punie_trace.servers.models import check_models
from punie_trace.speculative.registry import drafter_names, needs_draft_model, without_draft_model


def serve_command(
    *,
    model: str | None,
    draft_model: str | None,
    drafter: str | None,
    adaptive: bool,
    num_draft_tokens: int | None,
    max_draft_memory: str | None,
    otlp: str,
    max_requests: int,
    max_body_bytes: int,
    others: Sequence[str],
) -> None:
    """Serves until it is told to end. `others` are flags of `mlx_lm.server`, passed on as they are.

    Without a model the shipped pair is served. Raises `PunieTraceError`.
    """
    if drafter is not None and drafter not in drafter_names():
        raise ConfigurationError(f"--drafter {drafter!r}: {nearest(drafter, drafter_names())}")
    if model is None:
        from punie_trace.models import shipped_model

        target, small = shipped_model()
        model = str(target)
        if draft_model is None:
            draft_model = str(small)
    if drafter is not None and needs_draft_model(drafter) and draft_model is None:
        raise ConfigurationError(
            f"--drafter {drafter} needs --draft-model; or choose {without_draft_model()}, which need none"
        )
    check_models(ServerConfig(kind="punie", model_path=model, draft_model=draft_model))
    restart_with_openblas()
    from punie_trace.serving.serve import ServeOptions, parse_size, serve

    flags = ["--model", model, *(["--draft-model", draft_model] if draft_model else [])]
    if num_draft_tokens is not None:
        flags += ["--num-draft-tokens", str(num_draft_tokens)]
    options = ServeOptions(
        drafter=drafter,
        adaptive=adaptive,
        max_draft_memory=parse_size(max_draft_memory) if max_draft_memory is not None else None,
        otlp=otlp,
        max_requests=max_requests,
        max_body_bytes=max_body_bytes,
    )
    serve([*flags, *others], options)
