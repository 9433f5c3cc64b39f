"""Which models a server is to serve, from what its operator gave. Loads nothing, and checks no weights."""

from __future__ import annotations

from dataclasses import dataclass

from punie_trace.errors import ConfigurationError, nearest
from punie_trace.speculative.registry import drafter_names, needs_draft_model, without_draft_model


@dataclass(frozen=True, slots=True)
class ServedPair:
    """A target and its draft model, each a folder or a hub name; None where nothing needs a draft model."""

    model: str
    draft_model: str | None


def served_pair(model: str | None, draft_model: str | None, drafter: str | None) -> ServedPair:
    """The models to serve, the shipped pair where no model was given.

    Raises `ConfigurationError` for an unknown drafter, and for one that needs a draft model where there is none.
    """
    if drafter is not None and drafter not in drafter_names():
        raise ConfigurationError(f"--drafter {drafter!r}: {nearest(drafter, drafter_names())}")
    if model is None:
        from punie_trace.models import shipped_model

        target, small = shipped_model()
        model, draft_model = str(target), draft_model or str(small)
    if drafter is not None and needs_draft_model(drafter) and draft_model is None:
        raise ConfigurationError(
            f"--drafter {drafter} needs --draft-model; or choose {without_draft_model()}, which need none"
        )
    return ServedPair(model, draft_model)
