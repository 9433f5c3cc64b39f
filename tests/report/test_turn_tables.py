"""Sessions by turn: the table of a run, and that of a comparison."""

from __future__ import annotations

from pathlib import Path

import pytest

from punie_trace.analysis.figures import Comparison, Summary
from punie_trace.analysis.summary import summarize
from punie_trace.analysis.turn_figures import compare_turns, turn_figures
from punie_trace.records import Verdict
from punie_trace.report.model import NONE, UNSEEN, Note, Table, Tables
from punie_trace.report.turn_tables import turn_comparison_table, turns_section
from punie_trace.runs.reader import read_run
from tests.analysis.test_turns import Talk
from tests.synthetic_run import ARMS, write_run


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """A run whose baseline and one other were asked sessions."""
    bare = summarize(read_run(write_run(tmp_path_factory.mktemp("runs") / "r", ARMS)))
    before = [Talk(q).turn(36, 100, 0).turn(16, 200, 90, Verdict.WRONG_ANSWER).observation() for q in ("one", "two")]
    after = [Talk(q).turn(16, 100, 0).turn(16, 200, 90).observation(first=False) for q in ("one", "two")]
    turns = {"baseline": turn_figures(before), "speculative-2": turn_figures(after)}
    configurations = {
        name: one.model_copy(update={"turns": turns.get(name, ())}) for name, one in bare.configurations.items()
    }
    again = [Talk(q).turn(16, 100, 0).turn(16, 200, 90).observation() for q in ("one", "two")]
    comparisons = [one.model_copy(update={"by_turn": compare_turns(before, again)}) for one in bare.comparisons[:1]]
    return bare.model_copy(update={"configurations": configurations, "comparisons": tuple(comparisons)})


def test_each_turn_has_its_row_in_the_table_of_its_configuration(summary: Summary) -> None:
    section = turns_section(summary)
    tables = next(block for block in section.blocks if isinstance(block, Tables)).tables
    assert [table.title for table in tables] == ["baseline, by turn", "speculative-2, by turn"]
    assert [row.name for row in tables[0].rows] == ["turn 1", "turn 2"]
    titles = [column.title for column in tables[0].columns]
    first, second = (dict(zip(titles, row.cells, strict=True)) for row in tables[0].rows)
    assert (first["sessions"], first["right"], first["median"], first["generation"]) == (
        "2",
        "2/2",
        "40.0 ms",
        "36.0 ms",
    )
    assert (first["prompt"], first["cached"], first["TTFT"], first["TTFT of a call"]) == ("100", "0", "3.00 ms", NONE)
    assert (second["right"], second["prompt"], second["cached"]) == ("0/2", "200", "90")
    assert tables[1].rows[0].cells[2] == "20.0 ms~"
    notes = [block.text for block in section.blocks if isinstance(block, Note)]
    assert notes[-1].startswith("~ of sessions that the server had been asked before")


def test_what_a_server_does_not_tell_is_said_not_to_be_observable(summary: Summary) -> None:
    turn = summary.configurations["baseline"].turns[0]
    hidden = turn.model_copy(
        update={"cached_tokens": None, "ttft_ms": turn.ttft_ms.model_copy(update={"value": None, "n": 0})}
    )
    baseline = summary.configurations["baseline"].model_copy(update={"turns": (hidden,)})
    tables = next(
        block
        for block in turns_section(summary.model_copy(update={"configurations": {"baseline": baseline}})).blocks
        if isinstance(block, Tables)
    ).tables
    assert tables[0].rows[0].cells[5:7] == (UNSEEN, UNSEEN)


def test_turns_are_compared_with_the_baselines(summary: Summary) -> None:
    table = next(block for block in turns_section(summary).blocks if isinstance(block, Table))
    assert [row.name for row in table.rows] == ["speculative-2, turn 1", "speculative-2, turn 2"]
    # Both sessions gained the same, so that there is no spread to make an interval of.
    assert table.rows[0].cells == ("2.00x", "2", "1.00x", "2")


def test_a_run_without_sessions_has_no_such_section(tmp_path: Path) -> None:
    bare = summarize(read_run(write_run(tmp_path / "r", ARMS)))
    assert turns_section(bare).blocks == ()
    none: list[Comparison] = list(bare.comparisons)
    assert turn_comparison_table(none).rows == ()
