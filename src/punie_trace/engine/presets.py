"""The configurations of an experiment that names none: what its model and its draft model allow.

It looks up where the shipped models are and starts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from punie_trace.engine.experiment import Experiment
from punie_trace.engine.loads import one_by_one
from punie_trace.errors import ConfigurationError
from punie_trace.records import ToolMode
from punie_trace.speculative.registry import names_without_draft_model

DRAFT_LENGTHS: Final = (2, 3, 5)
CODE: Final = "code"
ADAPTIVE: Final = "adaptive"
ON_DEMAND: Final = (
    "speculative-2",
    "speculative-5",
    *names_without_draft_model(),
    "plain",
    CODE,
    *(f"{CODE}-speculative-{length}" for length in DRAFT_LENGTHS),
    f"{CODE}-{ADAPTIVE}",
)
"""Presets that are measured only where they are asked for by name.

Lengths of drafts share one server process, and its prompt cache: of three, each is the first to ask a third of the
questions only, and first asks are what counts. So one length is measured unless more are asked for.
"""
_NOT_STARTED_AS_MLX: Final = ("url", "command")


@dataclass(frozen=True, slots=True)
class Offer:
    """The configurations that can be measured: for each its own settings, over those that all of them share."""

    shared: dict[str, Any]
    configurations: dict[str, dict[str, Any]]
    on_demand: frozenset[str]
    """Those of `configurations` that are measured only where they are asked for by name."""
    shipped_model: bool
    """Whether the shipped model is what is measured."""
    notes: tuple[str, ...] = ()
    tools: dict[str, ToolMode] = field(default_factory=dict)
    """The tool mode of those that have one of their own."""


def offer(experiment: Experiment) -> Offer:
    """What `experiment` has, or what its model allows where it names no configuration."""
    shared = dict(experiment.server)
    notes: list[str] = []
    external = shared.get("kind", "mlx_lm") in _NOT_STARTED_AS_MLX
    own_models = any(
        "model_path" in one.server or one.server.get("kind", "mlx_lm") in _NOT_STARTED_AS_MLX
        for one in experiment.named
    )
    shipped = not external and "model_path" not in shared and not own_models
    draft = shared.pop("draft_model", None)
    memory = None if external else shared.pop("memory", None)
    if shipped:
        from punie_trace.models import shipped_model

        target, small = shipped_model()
        shared["model_path"] = str(target)
        draft = draft or str(small)
    if experiment.named:
        chosen = {one.name: one.server for one in experiment.named}
        for own in chosen.values():
            if draft and "num_draft_tokens" in own and "draft_model" not in own:
                own["draft_model"] = draft
        _settle_ours(experiment, shared, chosen, memory)
        return Offer(shared, chosen, frozenset(), shipped)
    chosen = {"baseline": {}}
    if draft and not external:
        if experiment.concurrency > 1 and experiment.path != "inprocess":
            chosen["baseline-serial"] = {"decode_concurrency": 1, "prompt_concurrency": 1}
            notes.append(
                "a draft model switches mlx_lm's batching off, so above concurrency 1 'baseline-serial' (one request "
                "at a time) is the fair partner of the speculative configurations"
            )
        for length in DRAFT_LENGTHS:
            chosen[f"speculative-{length}"] = {"draft_model": str(draft), "num_draft_tokens": length}
    elif not external:
        notes.append("no draft model was given: 'adaptive' drafts from what was said alone; --draft-model gives more")
    if not external and experiment.path != "inprocess":
        chosen |= _served_by_us(str(draft) if draft else None)
    faster = [name for name in chosen if name.startswith("speculative-") or name == ADAPTIVE]
    in_code = {CODE: "baseline"} | {f"{CODE}-{name}": name for name in faster}
    chosen |= {name: dict(chosen[like]) for name, like in in_code.items()}
    _settle_ours(experiment, shared, chosen, memory)
    return Offer(shared, chosen, frozenset(ON_DEMAND), shipped, tuple(notes), dict.fromkeys(in_code, "code"))


def _served_by_us(draft: str | None) -> dict[str, dict[str, Any]]:
    """The configurations of our own server, one process for all of them."""
    common: dict[str, Any] = {"kind": "punie", **({"draft_model": draft} if draft else {})}
    chosen: dict[str, dict[str, Any]] = {
        ADAPTIVE: {"speculation": "adaptive", "drafter": "hybrid" if draft else "suffix"},
        **{name: {"speculation": "adaptive", "drafter": name} for name in names_without_draft_model()},
        "plain": {"speculation": "off"},
    }
    return {name: {**common, **own} for name, own in chosen.items()}


def _settle_ours(
    experiment: Experiment, shared: dict[str, Any], chosen: dict[str, dict[str, Any]], memory: object
) -> None:
    """Gives those of our own server the `memory` that was asked for, and keeps what each remembers apart.

    Each warms its own prompt cache, as it would in a process of its own, by a `cache_salt`; a batch, which is for more
    than one request at once, knows no salts. Raises `ConfigurationError` where `memory` is nobody's.
    """
    ours = {name: own for name, own in chosen.items() if {**shared, **own}.get("kind") == "punie"}
    if memory is not None and not ours:
        raise ConfigurationError(
            f"memory = {memory!r} is a setting of our own server, and no configuration here is one (kind = 'punie')"
        )
    one_at_a_time = experiment.concurrency == 1 and not one_by_one(experiment)
    for name, own in ours.items():
        if memory is not None:
            own.setdefault("memory", memory)
        if one_at_a_time and "cache_salt" not in shared:
            own.setdefault("cache_salt", name)
