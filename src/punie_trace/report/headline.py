"""The verdict of a run in one sentence, and in a second one what stands against it. Text only; nothing is computed."""

from __future__ import annotations

from punie_trace.analysis.figures import Comparison, SpeedFigures, Summary
from punie_trace.report.model import Headline
from punie_trace.report.units import duration, interval, span


def headline(summary: Summary) -> Headline:
    """Which configuration is really faster at the same accuracy, or that this cannot be said."""
    base = summary.configurations.get(summary.baseline or "")
    if base is None or not base.outcomes:
        return Headline("Nothing was measured.", "The findings below say what failed.", "bad")
    paired = [(one, one.speed) for one in summary.comparisons if one.speed is not None]
    faster = [(one, speed) for one, speed in paired if speed.verdict == "faster"]
    if faster:
        return _faster(summary, faster)
    if not paired:
        return _asked_again_only(summary) or _alone(summary)
    slower = [one.other for one, speed in paired if speed.verdict == "slower"]
    decided = [one.other for one, speed in paired if speed.verdict != "cannot tell"]
    unclear = [one.other for one in summary.comparisons if one.other not in decided and (one.speed or one.speed_again)]
    parts = []
    if slower:
        parts.append(f"Slower: {', '.join(slower)}.")
    if unclear:
        parts.append(f"Cannot be told from it: {', '.join(unclear)}.{_would_tell(paired)}")
    return Headline(
        f"No configuration is measurably faster than {summary.baseline}.",
        " ".join(parts),
        "bad" if slower else "neutral",
    )


def _faster(summary: Summary, faster: list[tuple[Comparison, SpeedFigures]]) -> Headline:
    at_no_loss = [pair for pair in faster if pair[0].accuracy is None or not pair[0].accuracy.lost]
    best, speed = max(at_no_loss or faster, key=lambda pair: pair[1].estimate)
    how = f"{speed.estimate:.2f}x as fast as {best.baseline} {interval(speed.low, speed.high)}".rstrip()
    figures = summary.configurations[best.other]
    right = f"{figures.correct} of {figures.queries} right"
    lost = len(best.accuracy.lost) if best.accuracy is not None else 0
    gained = len(best.accuracy.gained) if best.accuracy is not None else 0
    if lost:
        accuracy = f"but wrong on {lost} that {best.baseline} gets right ({right})"
    elif gained:
        accuracy = f"and right on {gained} that {best.baseline} gets wrong ({right})"
    else:
        accuracy = f"at the same accuracy ({right})"
    swifter = [one.other for one, other in faster if other.estimate > speed.estimate]
    detail = f"Faster still, but wrong where {best.baseline} is right: {', '.join(swifter)}." if swifter else ""
    same = figures.answers_identical_to_baseline
    if same is not None and same.different:
        detail = f"{detail} {len(same.different)} of {same.of} answers are not the same to the letter.".strip()
    return Headline(f"{best.other} is {how}, {accuracy}.", detail, "bad" if lost else "good")


def _asked_again_only(summary: Summary) -> Headline | None:
    if not any(one.speed_again is not None for one in summary.comparisons):
        return None
    text = f"Whether anything is faster than {summary.baseline} cannot be told: no question was asked first in both."
    return Headline(text, "What was asked again shows what servers remember, not how fast they are.", "neutral")


def _alone(summary: Summary) -> Headline:
    name = summary.baseline or ""
    figures = summary.configurations[name]
    right = f"{figures.correct} of {figures.queries} right"
    others = len(summary.configurations) > 1
    detail = (
        "No other configuration has queries to compare it with." if others else "There is nothing to compare it with."
    )
    if figures.wall_ms is None:
        return Headline(f"{name} answered no query; {right}.", detail, "bad")
    median = f"{duration(figures.wall_ms.median)} {span(figures.wall_ms.low, figures.wall_ms.high, duration)}".rstrip()
    return Headline(f"{name} takes {median} for a query in the middle, {right}.", detail, "neutral")


def _would_tell(paired: list[tuple[Comparison, SpeedFigures]]) -> str:
    open_ = [speed for _, speed in paired if speed.verdict == "cannot tell"]
    rounds = max((speed.more_rounds or 0 for speed in open_), default=0)
    queries = max((speed.more_queries or 0 for speed in open_), default=0)
    if queries:
        return f" About {queries} more question{'s' * (queries > 1)} would tell."
    return f" About {rounds} more round{'s' * (rounds > 1)} would tell." if rounds else ""
