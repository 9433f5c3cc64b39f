"""How long answers and tool results may be: what the settings say, else what suits the model that answers.

The shipped model is small, and was trained on short results; where it is what answers, whoever serves it and under
whatever name, its own limits hold. Others take the general defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from punie_trace.engine.settings import AgentSettings
from punie_trace.models import is_shipped
from punie_trace.servers.config import ServerConfig
from punie_trace.servers.identity import ServedIdentity, digests

SHIPPED_TOOL_OUTPUT_CHARS: Final = 600
"""What the shipped model saw of a tool's result in training."""
SHIPPED_MAX_TOKENS: Final = 480
"""Above its longest answers in training; where it loses its way, it is not left to run on."""


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """The longest result that a tool gives the model, in characters, and the most tokens of one generation."""

    tool_output_chars: int
    max_tokens: int


def turn_limits(settings: AgentSettings, *, shipped: bool) -> TurnLimits:
    """The limits for a model that is the shipped one, or is not."""
    given = settings.model_fields_set if shipped else {"tool_output_chars", "max_tokens"}
    return TurnLimits(
        settings.tool_output_chars if "tool_output_chars" in given else SHIPPED_TOOL_OUTPUT_CHARS,
        settings.max_tokens if "max_tokens" in given else SHIPPED_MAX_TOKENS,
    )


def answers_shipped(config: ServerConfig, identity: ServedIdentity | None) -> bool:
    """Whether the shipped model is what answers. Reads the weights that lie on this disk."""
    names = {config.model_path, config.model, *((identity.model,) if identity is not None else ())} - {None}
    if any(is_shipped(name, None) for name in names):
        return True
    if identity is not None and identity.weights_digest is not None:
        return is_shipped(None, identity.weights_digest)
    named = (name for name in (*names, *_words(config)) if name)
    return any(is_shipped(None, digests(name, None).weights) for name in named)


def _words(config: ServerConfig) -> tuple[str, ...]:
    """What a command names besides: a model under another name may stand there."""
    words = getattr(config, "command", ())
    return tuple(word for word in words if "/" in word and "{" not in word)
