"""The evaluators of a dataset, made by pydantic-evals, and run one at a time over what a query came to.

This is what goes on in the process of the evaluators (`evaluator_process`): importing pydantic-evals takes seconds.
What cannot be run is refused by name when the evaluators are made, before anything is asked.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from pydantic_core import to_json
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import EvaluationReason, Evaluator, EvaluatorContext, GEval, LLMJudge
from pydantic_evals.evaluators.common import DEFAULT_EVALUATORS

from punie_trace.errors import SuiteError, nearest
from punie_trace.records import Evaluation
from punie_trace.suite.agent_output import expected_like
from punie_trace.suite.command import WORKSPACE, Command
from punie_trace.suite.dataset_file import cases_of, evaluator_name, evaluators_of
from punie_trace.suite.evaluator_messages import Finished
from punie_trace.suite.span_tree import metrics_of, span_tree
from punie_trace.user_code import load_object

_WHAT = "evaluator"
_MOST_TEXT = 2000
_NUMBER_LIMIT = 2**63
_DATASET_KEYS = ("cases", "evaluators")
_CASE_KEYS = ("name", "inputs", "metadata", "expected_output", "evaluators")
Evaluating = Evaluator[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class CaseEvaluators:
    """The evaluators of one case with what the case says for them."""

    case: Case[Any, Any, Any]
    evaluators: tuple[Evaluating, ...]

    def limits(self) -> tuple[float | None, ...]:
        """How long each may take by its own word, in seconds; None where it has none."""
        return tuple(one.timeout_s if isinstance(one, Command) else None for one in self.evaluators)

    async def run(self, number: int, finished: Finished) -> tuple[Evaluation, ...]:
        """What the evaluator of that number finds; where it raises, that is what it found. Nothing is raised."""
        evaluator = self.evaluators[number]
        name = source = type(evaluator).__name__
        output, changed = finished.output.unpack()
        why = "" if changed is None else f" (the output came as JSON's values and not as the agent gave it: {changed})"
        try:
            name, source = evaluator.get_default_evaluation_name(), _source(evaluator)
            found = evaluator.evaluate(_context(self.case, finished, output))
            findings = _findings(name, source, await found if inspect.isawaitable(found) else found)
            return tuple(_explained(one, why) if one.value is False else one for one in findings)
        except Exception as error:
            return (Evaluation(name, None, f"{type(error).__name__}: {error}{why}"[:_MOST_TEXT], source),)


def make_evaluators(dataset: Mapping[str, object], references: Sequence[str], name: str) -> tuple[CaseEvaluators, ...]:
    """The evaluators of each case in the file's order: its own, then those of the whole dataset.

    `dataset` is what `read_dataset` gave; `references` name evaluator classes of the user's ('module:Class', or
    'module' for all in it). Raises `SuiteError` that names every evaluator which cannot be run.
    """
    custom = [one for reference in references for one in _classes(reference)]
    known = {one.get_serialization_name(): one for one in (*DEFAULT_EVALUATORS, Command, *custom)}
    _refuse_unknown(dataset, known, name)
    try:
        loaded = Dataset[Any, Any, Any].from_dict(_known_keys(dataset), [Command, *custom], default_name=name)
    except (ExceptionGroup, ValueError) as error:
        raise SuiteError(f"{name}: {'; '.join(_messages(error))}") from error
    cases = tuple(CaseEvaluators(case, (*case.evaluators, *loaded.evaluators)) for case in loaded.cases)
    _refuse_nameless_judges(cases, name)
    return cases


def _classes(reference: str) -> list[type[Evaluating]]:
    if ":" not in reference:
        return _all_in(reference)
    found = load_object(reference, _WHAT, SuiteError)
    if not (isinstance(found, type) and issubclass(found, Evaluator)):
        raise SuiteError(f"{reference!r} is no evaluator: it must be a subclass of pydantic_evals' Evaluator")
    if not _is_dataclass(found):
        raise SuiteError(f"the evaluator {reference!r} must be decorated with @dataclass, as pydantic-evals has it")
    return [found]


def _all_in(module: str) -> list[type[Evaluating]]:
    """The evaluators that are defined in a module, and not those that it imported."""
    everything = cast("Mapping[str, object]", load_object(f"{module}:__dict__", _WHAT, SuiteError)).values()
    classes = [one for one in everything if isinstance(one, type) and issubclass(one, Evaluator) and _is_dataclass(one)]
    own = [one for one in classes if one.__module__ == Path(module).stem or one.__module__ == module]
    if not own:
        raise SuiteError(f"there is no evaluator in {module}; name its class: '{module}:Name'")
    return own


def _is_dataclass(one: type) -> bool:
    return "__dataclass_fields__" in vars(one)


def _refuse_unknown(dataset: Mapping[str, object], known: Mapping[str, object], name: str) -> None:
    unknown = {one: None for one in _names(dataset) if one not in known}
    if unknown:
        each = [f"{one!r} ({nearest(one, known)})" for one in unknown]
        raise SuiteError(
            f"{name}: there {'is no evaluator' if len(each) == 1 else 'are no evaluators'} {', '.join(each)}; one of "
            'your own is made known by evaluators = ["module:Class"] in the configuration'
        )


def _names(dataset: Mapping[str, object]) -> Iterator[str]:
    holders = [dataset, *(case for case in cases_of(dataset) if isinstance(case, dict))]
    for holder in holders:
        yield from (evaluator_name(spec, "the dataset") for spec in evaluators_of(holder, "the dataset"))


def _refuse_nameless_judges(cases: Sequence[CaseEvaluators], name: str) -> None:
    """A judge by model runs only where its model is named: pydantic-evals' default is somebody's paid service."""
    for case in cases:
        for evaluator in case.evaluators:
            if not isinstance(evaluator, LLMJudge | GEval):
                continue
            kind = type(evaluator).__name__
            if evaluator.model is None:
                raise SuiteError(
                    f"{name}: {kind} names no model, and a model judges only where it is named: add 'model: ...' to it"
                )
            try:
                _usable(evaluator.model)
            except Exception as error:
                raise SuiteError(f"{name}: the model of {kind} cannot be used: {error}") from error


def _usable(model: object) -> None:
    """Raises where the model cannot be made: an unknown name, a key that is not set."""
    from pydantic_ai.models import infer_model

    if isinstance(model, str):
        infer_model(model)


def _known_keys(dataset: Mapping[str, object]) -> dict[str, object]:
    """Without keys that pydantic-evals would refuse: they are the user's own."""
    cases = [
        {key: case[key] for key in _CASE_KEYS if key in case} for case in cases_of(dataset) if isinstance(case, dict)
    ]
    return {**{key: dataset[key] for key in _DATASET_KEYS if dataset.get(key) is not None}, "cases": cases}


def _messages(error: Exception) -> list[str]:
    if isinstance(error, ExceptionGroup):
        return [message for one in error.exceptions for message in _messages(one)]
    return [" ".join(str(error).split())[:_MOST_TEXT]]


def _context(case: Case[Any, Any, Any], finished: Finished, output: object) -> EvaluatorContext[Any, Any, Any]:
    tree = span_tree(finished.spans)
    return EvaluatorContext(
        name=case.name,
        inputs=case.inputs,
        metadata=case.metadata,
        expected_output=expected_like(case.expected_output, output),
        output=output,
        duration=finished.wall_s,
        _span_tree=tree,
        attributes={WORKSPACE: finished.workspace},
        metrics=metrics_of(tree),
    )


def _source(evaluator: Evaluating) -> str:
    return to_json(evaluator.as_spec(), serialize_unknown=True).decode()[:_MOST_TEXT]


def _findings(name: str, source: str, found: object) -> Iterator[Evaluation]:
    """As pydantic-evals takes them: one value, a value with a reason, or either of these by name."""
    if not isinstance(found, Mapping):
        yield _finding(name, source, found)
        return
    for key, value in found.items():
        yield _finding(str(key), source, value)


def _explained(found: Evaluation, why: str) -> Evaluation:
    return replace(found, reason=f"{found.reason or 'does not hold'}{why}"[:_MOST_TEXT]) if why else found


def _finding(name: str, source: str, found: object) -> Evaluation:
    value, reason = (found.value, found.reason) if isinstance(found, EvaluationReason) else (found, None)
    shown = None if reason is None else str(reason)[:_MOST_TEXT]
    if isinstance(value, str):
        return Evaluation(name, value[:_MOST_TEXT], shown, source)
    if isinstance(value, int) and abs(value) >= _NUMBER_LIMIT:
        return Evaluation(name, None, "it gave a whole number of more than 63 bits: no mean can be taken of it", source)
    if isinstance(value, bool | int | float) and abs(value) < float("inf"):
        return Evaluation(name, value, shown, source)
    returned = f"{value!r}"[:200]
    return Evaluation(name, None, f"it gave {returned}, which is neither a truth, a finite number nor a text", source)
