"""What fewer turns, fewer words, fewer input tokens and faster tokens would each bring this run, and how to try it.

Each is a bound, by Amdahl, from the run's own split: one generation in place of all (where all cost the same), half the
output tokens or tokens twice as fast (half of decode), half the input tokens (half of prefill). A lever whose part of
the time was not observed is left out, and so is one that could bring less than a twentieth. Nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from punie_trace.analysis.figures import ConfigurationFigures, Summary
from punie_trace.analysis.served_by import MLX_KINDS

WORTH_TRYING: Final = 1.05
_OFFERED: Final = "baseline"
CODE_MODE: Final = "--only baseline --only code"
CONCISE: Final = "punie-trace train concise --model MODEL --from RUN"
CODE_MODE_BESIDE: Final = 'tools = "code" in another configuration'
DRAFTS_BESIDE: Final = "draft_model and num_draft_tokens in another configuration"
SHORTER_RESULTS: Final = "a smaller tool_output_chars under [agent]"
DRAFTS: Final = "--only baseline --only speculative-3"


@dataclass(frozen=True, slots=True)
class Lever:
    """One way to spend less time in generation: the factor on speed that it could bring at most, and what tries it.

    `command` is '' where the run tried it already, or nothing of this package can do it for that server. Configurations
    by name are offered where a run has none of its own.
    """

    name: str
    factor: float
    command: str


def amdahl(share: float, speed_up: float = float("inf")) -> float:
    """How many times as fast the whole is if `share` of its time is `speed_up` times as fast; `share` is below 1."""
    return 1 / (1 - share + share / speed_up)


def levers(summary: Summary, base: ConfigurationFigures) -> tuple[Lever, ...]:
    """What could bring something, the most first."""
    found = [one for one in _levers(summary, base) if one.factor >= WORTH_TRYING]
    return tuple(sorted(found, key=lambda one: -one.factor))


def _levers(summary: Summary, base: ConfigurationFigures) -> Iterator[Lever]:
    if base.ledger_share is None:
        return
    share = base.ledger_share.generation
    others = list(summary.configurations.values())
    turns = base.generations_per_query or 0.0
    offered = summary.baseline == _OFFERED
    if turns > 1:
        coded = any(one.tools == "code" for one in others) or base.path not in ("agent", "imported")
        in_code = CODE_MODE if offered else CODE_MODE_BESIDE
        yield Lever("one turn in place of all", amdahl(share * (1 - 1 / turns)), _unless(coded, in_code))
    decode, prefill = (share * part for part in _parts(base))
    if decode:
        theirs = base.kind not in MLX_KINDS  # we neither train nor start what others serve
        drafted = theirs or any(one.draft_model is not None for one in others)
        yield Lever("half the output tokens", amdahl(decode, 2), _unless(theirs, CONCISE))
        drafts = DRAFTS if offered else DRAFTS_BESIDE
        yield Lever("output tokens twice as fast", amdahl(decode, 2), _unless(drafted, drafts))
    if prefill:
        yield Lever("half the input tokens", amdahl(prefill, 2), SHORTER_RESULTS)


def _unless(done: bool, command: str) -> str:
    return "" if done else command


def _parts(base: ConfigurationFigures) -> tuple[float, float]:
    """The shares of decode and of prefill in a generation; 0 where they were not observed."""
    seen = {name: one.value for name, one in base.generation_split_ms.items() if one.value is not None}
    whole = sum(seen.values())
    if not whole or "decode" not in seen or "prefill" not in seen:
        return 0.0, 0.0
    return seen["decode"] / whole, seen["prefill"] / whole
