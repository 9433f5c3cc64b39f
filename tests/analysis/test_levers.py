"""What each lever could bring follows from the run's own split, and names the command that tries it."""

from __future__ import annotations

from typing import Any

import pytest

from punie_trace.analysis.figure_kinds import Observed
from punie_trace.analysis.figures import ConfigurationFigures, Summary
from punie_trace.analysis.levers import (
    CODE_MODE,
    CODE_MODE_BESIDE,
    CONCISE,
    DRAFTS,
    DRAFTS_BESIDE,
    SHORTER_RESULTS,
    Lever,
    amdahl,
    levers,
)
from punie_trace.analysis.summary import summarize
from punie_trace.runs.reader import read_run
from tests.synthetic_run import ARMS, write_run

SPLIT = {"connect": 0.0, "prefill": 30.0, "decode": 60.0, "transfer": 10.0}


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return summarize(read_run(write_run(tmp_path_factory.mktemp("runs") / "r", ARMS)))


def found(summary: Summary, beside: dict[str, Any] | None = None, **changed: Any) -> dict[str, Lever]:
    """The levers of a baseline of three turns with 80 % of its time in generation, by name."""
    base: ConfigurationFigures = summary.configurations["baseline"]
    assert base.ledger_share is not None
    split = {name: Observed(value=value, n=1, of=1) for name, value in SPLIT.items()}
    figures = {
        "path": "agent",
        "draft_model": None,
        "generations_per_query": 3.0,
        "ledger_share": base.ledger_share.model_copy(update={"generation": 0.8}),
        "generation_split_ms": split,
    }
    slow = base.model_copy(update=figures | changed)
    others = {"other": slow.model_copy(update=beside)} if beside else {}
    asked = summary.model_copy(update={"configurations": {"baseline": slow, **others}})
    return {one.name: one for one in levers(asked, slow)}


def test_amdahl() -> None:
    assert amdahl(0.75) == pytest.approx(4)
    assert amdahl(0.8, 2) == pytest.approx(1 / 0.6)
    assert amdahl(0.0) == 1


def test_each_lever_is_a_bound_from_the_split_with_its_command_and_the_most_comes_first(summary: Summary) -> None:
    assert [(one.name, round(one.factor, 3), one.command) for one in found(summary).values()] == [
        ("one turn in place of all", round(1 / (1 - 0.8 * 2 / 3), 3), CODE_MODE),
        ("half the output tokens", round(1 / (1 - 0.48 / 2), 3), CONCISE),
        ("output tokens twice as fast", round(1 / (1 - 0.48 / 2), 3), DRAFTS),
        ("half the input tokens", round(1 / (1 - 0.24 / 2), 3), SHORTER_RESULTS),
    ]


def test_of_a_server_that_others_serve_nothing_is_told_that_it_cannot_follow(summary: Summary) -> None:
    asked = found(summary, kind="url")
    assert asked["half the output tokens"].command == ""
    assert asked["output tokens twice as fast"].command == ""
    assert asked["one turn in place of all"].command == CODE_MODE


def test_a_run_of_ones_own_configurations_is_told_no_names_that_it_does_not_have(summary: Summary) -> None:
    asked = found(summary.model_copy(update={"baseline": "mine"}))
    assert asked["one turn in place of all"].command == CODE_MODE_BESIDE
    assert asked["output tokens twice as fast"].command == DRAFTS_BESIDE


def test_what_was_tried_in_the_run_is_not_told_to_be_tried(summary: Summary) -> None:
    assert found(summary, {"tools": "code"})["one turn in place of all"].command == ""
    assert found(summary, {"draft_model": "small"})["output tokens twice as fast"].command == ""
    assert found(summary, path="program")["one turn in place of all"].command == ""


def test_what_was_not_observed_or_brings_next_to_nothing_is_left_out(summary: Summary) -> None:
    unseen = {"prefill": Observed(value=None, n=0, of=1, not_observable="no progress")}
    assert list(found(summary, generation_split_ms=unseen)) == ["one turn in place of all"]
    assert list(found(summary, generation_split_ms=unseen, generations_per_query=1.0)) == []
    short = {"prefill": Observed(value=2.0, n=1, of=1), "decode": Observed(value=98.0, n=1, of=1)}
    assert "half the input tokens" not in found(summary, generation_split_ms=short)
