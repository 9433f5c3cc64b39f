"""A sampler whose distribution is known, so that drafts can be verified by rejection and not only by match.

`mlx_lm.sample_utils.make_sampler` gives the same draws, but as a closure that nothing can be asked about. The order of
the steps is that of mlx-lm: top-p, min-p, top-k, temperature.
"""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx
from mlx_lm.sample_utils import apply_min_p, apply_top_k, apply_top_p

from punie_trace.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class TemperatureSampler:
    """Draws at a temperature above 0, from what top-p, min-p and top-k leave. 0 turns each of the three off.

    Raises `ConfigurationError` for values that cannot be.
    """

    temperature: float = 1.0
    top_p: float = 0.0
    min_p: float = 0.0
    top_k: int = 0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ConfigurationError(
                f"a temperature of {self.temperature} cannot be drawn at; give one above 0, "
                "or no sampler for greedy decoding"
            )
        if not (0 <= self.top_p <= 1 and 0 <= self.min_p <= 1 and self.top_k >= 0):
            raise ConfigurationError(
                f"top_p {self.top_p}, min_p {self.min_p}, top_k {self.top_k} cannot be: "
                "the first two lie in 0..1, top_k is not negative"
            )

    def _left(self, logprobs: mx.array) -> mx.array:
        if 0 < self.top_p < 1:
            logprobs = apply_top_p(logprobs, self.top_p)
        if self.min_p:
            logprobs = apply_min_p(logprobs, self.min_p)
        if 0 < self.top_k < logprobs.shape[-1]:
            logprobs = apply_top_k(logprobs, self.top_k)
        return logprobs / self.temperature

    def __call__(self, logprobs: mx.array) -> mx.array:
        """One token for each row (..., V)."""
        return mx.random.categorical(self._left(logprobs))

    def probabilities(self, logprobs: mx.array) -> mx.array:
        """What is drawn from: (..., V)."""
        return mx.softmax(self._left(logprobs), axis=-1)
