"""The kinds of figures that others are made of: an estimate with its interval, a value that is not always seen, wall
times, a ledger, tokens.

They are values, and nothing is computed here but the rounding that makes platforms agree. Times are in ms.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

# Six decimals keep a nanosecond of a time in ms, and drop the digits in which platforms differ.
Rounded = Annotated[float, AfterValidator(lambda value: round(value, 6))]


class Figures(BaseModel):
    """A frozen group of figures."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Bounded(Figures):
    """An estimate with its interval, which reaches `confidence`; no bounds where there are too few values."""

    value: Rounded
    low: Rounded | None
    high: Rounded | None
    confidence: Rounded
    n: int


class Observed(Figures):
    """A value seen in `n` of `of` cases; None with the reason where it was seen in none."""

    value: Rounded | None
    n: int
    of: int
    not_observable: str | None = None


class WallFigures(Figures):
    """Wall time from due to done, in ms, of the answered queries."""

    median: Rounded
    """Median over queries of each query's median over rounds; so are its bounds."""
    low: Rounded | None
    high: Rounded | None
    confidence: Rounded
    p95: Rounded
    """Nearest rank over all answered; so are its bounds, of the suite's queries, with what they reach."""
    mean: Rounded
    answered: int
    p95_low: Rounded | None = None
    p95_high: Rounded | None = None
    p95_confidence: Rounded | None = None


class LedgerFigures(Figures):
    """Means over queries in ms, which add up to `wall`; as shares they add up to 1. `tool_work` stands beside."""

    wall: Rounded
    client_queue: Rounded
    generation: Rounded
    tool: Rounded
    framework: Rounded
    tool_work: Rounded


class TokenFigures(Figures):
    """Totals over the answered queries, and means for each; None where the server reported none for some of them."""

    input: int | None
    output: int | None
    cached: int | None
    input_per_query: Rounded | None
    output_per_query: Rounded | None
    cached_per_query: Rounded | None
