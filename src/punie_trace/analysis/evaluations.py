"""What evaluators found, over the queries of one configuration, and how gates name it.

Scores become a mean, assertions a share, labels are counted; a query asked in several rounds is one value in each.
Gates name them `score.NAME`, `assertion.NAME` and `label.NAME.VALUE`, where NAME is what the evaluator calls it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Final

from pydantic import Field

from punie_trace.analysis.figure_kinds import Bounded, Figures
from punie_trace.analysis.statistics import Interval, mean, wilson
from punie_trace.errors import nearest
from punie_trace.records import Evaluation, Outcome


class EvaluationFigures(Figures):
    """What came under one name. Scores are in the evaluator's own unit; shares are from 0 to 1, over queries."""

    score: Bounded | None = None
    passed: Bounded | None = None
    """Share of the queries whose assertion holds in more than half of their rounds."""
    labels: dict[str, int] = Field(default_factory=dict)
    """Of how many queries each label was the most frequent one over their rounds; the first of those as frequent."""
    failed: int = 0
    """How often the evaluator failed, over all rounds."""


def evaluation_figures(outcomes: Iterable[Outcome]) -> dict[str, EvaluationFigures]:
    """All that evaluators found of one configuration, by name, in the order in which the names first came."""
    found: dict[str, dict[str, list[Evaluation]]] = {}
    for outcome in outcomes:
        for evaluation in outcome.evaluations:
            found.setdefault(evaluation.name, {}).setdefault(outcome.query, []).append(evaluation)
    return {name: _figures(by_query) for name, by_query in found.items()}


def _figures(by_query: Mapping[str, Sequence[Evaluation]]) -> EvaluationFigures:
    scores: list[float] = []
    holds: list[bool] = []
    labels: dict[str, int] = {}
    failed = 0
    for evaluations in by_query.values():
        values = [one.value for one in evaluations]
        truths = [value for value in values if isinstance(value, bool)]
        numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if truths:
            holds.append(2 * sum(truths) > len(truths))
        if numbers:
            scores.append(fmean(numbers))
        if texts := Counter(value for value in values if isinstance(value, str)):
            most = texts.most_common(1)[0][0]
            labels[most] = labels.get(most, 0) + 1
        failed += values.count(None)
    return EvaluationFigures(
        score=_bounded(mean(scores)) if scores else None,
        passed=_bounded(wilson(sum(holds), len(holds))) if holds else None,
        labels=labels,
        failed=failed,
    )


def _bounded(interval: Interval) -> Bounded:
    return Bounded(
        value=interval.value,
        low=interval.low,
        high=interval.high,
        confidence=interval.confidence,
        n=interval.n,
    )


Read = Callable[[Mapping[str, EvaluationFigures], str], "Bounded | str"]
"""(what was found, what stands behind the kind in the name) -> the figure, or why there is none."""


def _score(found: Mapping[str, EvaluationFigures], name: str) -> Bounded | str:
    scores = {key: one.score for key, one in found.items() if one.score is not None}
    return scores.get(name) or _missing("score", name, scores)


def _assertion(found: Mapping[str, EvaluationFigures], name: str) -> Bounded | str:
    shares = {key: one.passed for key, one in found.items() if one.passed is not None}
    return shares.get(name) or _missing("assertion", name, shares)


def _label(found: Mapping[str, EvaluationFigures], name: str) -> Bounded | str:
    labelled = {key: one.labels for key, one in found.items() if one.labels}
    for key, labels in labelled.items():
        if name.startswith(f"{key}."):
            total = sum(labels.values())
            return _bounded(wilson(labels.get(name.removeprefix(f"{key}."), 0), total))
    known = [f"{key}.{label}" for key, labels in labelled.items() for label in labels]
    return _missing("label", name, known)


def _missing(kind: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    return f"no evaluator gave a {kind} {name!r}" + (f"; {nearest(name, names)}" if names else "")


KINDS: Final[Mapping[str, Read]] = {"score": _score, "assertion": _assertion, "label": _label}
"""What a gate may ask of evaluators, by the first word of the figure's name."""
