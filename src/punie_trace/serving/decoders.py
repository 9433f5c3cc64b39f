"""Which decoder drafts: from a drafter's name and the loaded models to a decoder of `speculative`."""

from __future__ import annotations

from punie_trace.errors import ConfigurationError
from punie_trace.serving.decoding import Decoder
from punie_trace.serving.models import ServedModels
from punie_trace.serving.speculation import Speculation


def make_decoder(models: ServedModels, speculation: Speculation, *, max_memory: int | None = None) -> Decoder:
    """A decoder that drafts by `speculation.drafter`, for the models that are loaded now. Raises `PunieTraceError`."""
    raise ConfigurationError(f"no decoder drafts by {speculation.drafter} ({models.draft}, {max_memory})")
