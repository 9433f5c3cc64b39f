"""How one request wants to be drafted for. A value with its checks; no mlx is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from punie_trace.errors import ConfigurationError, nearest
from punie_trace.speculative.memory import MEMORIES, Memory
from punie_trace.speculative.registry import registration

Mode: TypeAlias = Literal["off", "fixed", "adaptive"]
MODES: tuple[Mode, ...] = ("off", "fixed", "adaptive")
_LONGEST = 64


@dataclass(frozen=True, slots=True)
class Speculation:
    """What a request asks for.

    `mode`: not at all, always `k` tokens (3 unless told; 0 drafts nothing), or as measured, `k` at most. `drafter`:
    a registered name, or None for whatever the decoder has. `min_acceptance` in 0..1: accepted / drafted that an
    adaptive controller shall keep to, at the expense of speed. `tree`: verify several continuations at once where the
    model can. `memory`: what drafters may know of earlier requests: nothing ('request'), those whose whole text this
    one goes on from ('conversation'), or all of the same `salt` ('server'); a draft model's keys and values of a same
    beginning are used again but with 'request'. Raises `ConfigurationError` for values
    that cannot be.
    """

    mode: Mode = "adaptive"
    k: int | None = None
    drafter: str | None = None
    min_acceptance: float | None = None
    tree: bool = False
    memory: Memory = "server"
    salt: str = ""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigurationError(f"there is no speculation mode {self.mode!r}; {nearest(str(self.mode), MODES)}")
        if self.memory not in MEMORIES:
            raise ConfigurationError(f"there is no memory {self.memory!r}; {nearest(str(self.memory), MEMORIES)}")
        if self.drafter is not None:
            registration(str(self.drafter))
        if self.k is not None and not (type(self.k) is int and 0 <= self.k <= _LONGEST):
            raise ConfigurationError(f"k is {self.k!r}, and must be a whole number from 0 to {_LONGEST}")
        share = self.min_acceptance
        if share is not None and not (isinstance(share, int | float) and 0 <= share <= 1):
            raise ConfigurationError(f"min_acceptance is {share!r}, and must be a number from 0 to 1")


OFF = Speculation("off")
