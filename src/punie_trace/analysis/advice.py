"""Up to four lines of advice that follow from the figures, each with what it could gain at most.

The bounds are Amdahl's: if a share s of the time were free, the whole would be 1 / (1 - s) times as fast, and no more.
It knows no remedy that the figures do not speak for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from punie_trace.analysis.figures import Advice, Comparison, ConfigurationFigures, Summary
from punie_trace.analysis.levers import Lever, amdahl, levers
from punie_trace.analysis.statistics import wilson

MOST_ADVICE: Final = 4
GENERATION_BOUND: Final = 0.70
TOOL_BOUND: Final = 0.40
FRAMEWORK_BOUND: Final = 0.30
QUEUE_BOUND: Final = 0.20
_FRAMEWORK: Final = (
    "The framework (all that is neither model nor tool) is {} of a query's time in {}: a free one would gain {} at "
    "most; compare the paths agent and http to see whose it is."
)
_BETWEEN: Final = (
    "Between generations (a program's tools and framework, which cannot be told apart) passes {} of a query's time in "
    "{}: to take none there would gain {} at most."
)


def advise(summary: Summary) -> tuple[Advice, ...]:
    """What would help most, the weightiest first: answers that a constant could give, then where the time goes, then
    what too few rounds or queries leave open.
    """
    base = summary.configurations.get(summary.baseline or "")
    if base is None or not base.outcomes:
        return (Advice(about="run", text="Nothing was measured: see the findings for what failed.", bound=None),)
    found = [*_no_better(summary, base), *_time(summary, base), *_rounds(summary), *_too_few(summary, base)]
    return tuple(found[:MOST_ADVICE])


def _constant(summary: Summary) -> tuple[str, int]:
    """The better constant answer, and how many queries it could get right."""
    constants = summary.constants
    if constants.always_tool >= constants.never_tool:
        return "'always a tool'", constants.always_tool
    return "'never a tool'", constants.never_tool


def _no_better(summary: Summary, base: ConfigurationFigures) -> Iterator[Advice]:
    which, best = _constant(summary)
    if 0 < summary.constants.queries <= base.queries and base.correct <= best:
        yield Advice(
            about="accuracy",
            text=f"{summary.baseline} gets {base.correct} of {base.queries} right, no more than the constant answer "
            f"{which} could ({best} of {summary.constants.queries}): mend the answers before the speed, for a faster "
            "wrong answer gains nothing.",
            bound=None,
        )


def _too_few(summary: Summary, base: ConfigurationFigures) -> Iterator[Advice]:
    which, best = _constant(summary)
    queries = summary.constants.queries
    if base.accuracy is None or not 0 < queries <= base.queries or base.correct <= best:
        return
    if (base.accuracy.low or 0.0) <= best / queries:
        enough = _enough_queries(base.correct / base.queries, best / queries)
        more = f"it takes {enough} queries at this rate" if enough else "it takes many more queries"
        yield Advice(
            about="accuracy",
            text=f"{base.correct} of {base.queries} right does not yet tell {summary.baseline} from the constant "
            f"answer {which} ({best} of {queries}): {more}.",
            bound=None,
        )


def _enough_queries(rate: float, constant: float) -> int | None:
    """The fewest queries at which Wilson's interval around `rate` lies above `constant`."""
    for n in range(1, 2001):
        low = wilson(int(rate * n), n).low
        if low is not None and low > constant:
            return n
    return None


def _time(summary: Summary, base: ConfigurationFigures) -> Iterator[Advice]:
    shares, ledger = base.ledger_share, base.ledger_ms
    if shares is None or ledger is None:
        return
    if shares.generation > GENERATION_BOUND:
        others = amdahl(1 - shares.generation)
        halved = amdahl(shares.generation, 2)
        yield Advice(
            about="generation",
            text=f"Generation is {shares.generation:.0%} of a query's time in {summary.baseline} "
            f"({ledger.generation:.0f} of {ledger.wall:.0f} ms): twice as fast, or half the tokens, is {halved:.2f}x "
            f"at most, for nothing {_bound(shares.generation)}; faster tools or a lighter framework could gain "
            f"{others:.2f}x. {_measured(summary)}",
            bound=halved,
        )
        yield from _levers(levers(summary, base))
    for share, limit, about, text in (
        (
            shares.tool,
            TOOL_BOUND,
            "tool",
            "Tools are {} of a query's time in {}: tools for nothing would gain {} at most.",
        ),
        (
            shares.framework,
            FRAMEWORK_BOUND,
            "framework",
            _BETWEEN if base.tools_unseen else _FRAMEWORK,
        ),
        (
            shares.client_queue,
            QUEUE_BOUND,
            "client queue",
            "Waiting to be sent is {} of a query's time in {}: a lower rate, a higher concurrency or a faster server "
            "would gain {} at most.",
        ),
    ):
        if share > limit:
            yield Advice(
                about=about,
                text=text.format(f"{share:.0%}", summary.baseline, _bound(share)),
                bound=amdahl(share) if share < 1 else None,
            )


def _levers(found: tuple[Lever, ...]) -> Iterator[Advice]:
    if found:
        lines = [f"{one.name} {one.factor:.2f}x{f' ({one.command})' if one.command else ''}" for one in found]
        yield Advice(
            about="levers",
            text=f"What could gain how much at most, by this run's own split: {'; '.join(lines)}.",
            bound=found[0].factor,
        )


def _bound(share: float) -> str:
    if share >= 0.999:
        return "nearly all of it"
    return f"{amdahl(share):.0f}x" if share > 0.9 else f"{amdahl(share):.1f}x"


def _measured(summary: Summary) -> str:
    """What the fastest configuration really gained."""
    faster = [one for one in summary.comparisons if one.speed is not None and one.speed.verdict == "faster"]
    if not faster:
        measured = any(one.speed is not None for one in summary.comparisons)
        return "No other configuration is measurably faster." if measured else "A draft model is one thing to try."
    best = max(faster, key=lambda one: one.speed.estimate if one.speed is not None else 0.0)
    if best.speed is None or best.speed.low is None or best.speed.high is None:
        return ""
    gain = f"{best.other}, gains {best.speed.estimate:.2f}x ({best.speed.low:.2f}-{best.speed.high:.2f})"
    same = summary.configurations[best.other].answers_identical_to_baseline
    other = f", though {len(same.different)} of {same.of} answers differ" if same is not None and same.different else ""
    return f"The fastest that was measured, {gain}{_at_accuracy(best)}{other}."


def _at_accuracy(comparison: Comparison) -> str:
    if comparison.accuracy is None:
        return ""
    gained, lost = len(comparison.accuracy.gained), len(comparison.accuracy.lost)
    if not lost:
        return " at the same accuracy" if not gained else f", with {gained} more right"
    return f", but gets {lost} wrong that the baseline gets right"


def _rounds(summary: Summary) -> Iterator[Advice]:
    open_ = [one for one in summary.comparisons if one.speed is not None and one.speed.verdict == "cannot tell"]
    if not open_:
        return
    speeds = [one.speed for one in open_ if one.speed is not None]
    needed = [speed.more_rounds for speed in speeds if speed.more_rounds is not None]
    questions = [speed.more_queries for speed in speeds if speed.more_queries is not None]
    who = ", ".join(one.other for one in open_)
    subject = f"Whether {who} differ{'s' if len(open_) == 1 else ''} in speed from {summary.baseline} cannot be told"
    ways = []
    if needed:
        ways.append(f"about {max(needed)} more round{'s' * (max(needed) > 1)} of these questions")
    if questions:
        ways.append(f"about {max(questions)} more question{'s' * (max(questions) > 1)}")
    left = len(open_) - len(needed) - len(questions)
    if not ways:
        text = f"{subject}, and hardly could be with many more questions: if they differ, it is by little."
    else:
        rest = "" if left <= 0 else "; the rest differ by little, if at all"
        text = f"{subject} yet: {' for some, '.join(ways)} would tell{rest}."
    yield Advice(about="rounds", text=text, bound=None)
