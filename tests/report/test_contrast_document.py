from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from punie_trace.analysis.contrast import Contrast, contrast_across, contrast_within
from punie_trace.analysis.gates import parse_gates
from punie_trace.records import Verdict
from punie_trace.report.console import print_document
from punie_trace.report.contrast_document import contrast_document
from punie_trace.runs.reader import read_run
from tests.synthetic_run import ARMS, Arm, write_run

WRONG = {("async-await", round_): Verdict.WRONG_ANSWER for round_ in range(3)}


def printed(contrast: Contrast, width: int = 100, *, terminal: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system="truecolor" if terminal else None)
    print_document(contrast_document(contrast), console)
    return file.getvalue()


@pytest.fixture(scope="module")
def across(tmp_path_factory: pytest.TempPathFactory) -> Contrast:
    folder = tmp_path_factory.mktemp("runs")
    first = read_run(write_run(folder / "a", ARMS))
    arms = {"baseline": Arm(), "speculative-2": Arm(speed=3.0, draft=True, progress=False, verdicts=WRONG)}
    second = read_run(write_run(folder / "b", arms, rounds=4))
    return contrast_across(first, second, None, parse_gates(["accuracy == 1", "speculative-2.speedup > 1.2"]))


@pytest.mark.parametrize("width", [80, 120])
def test_it_reads_in_a_log(across: Contrast, width: int) -> None:
    text = printed(across, width)
    assert "\x1b" not in text
    assert "…" not in text
    assert all(line == line.rstrip() for line in text.splitlines())
    tables = text[: text.index("\nGates")]
    assert max(map(len, tables.splitlines())) <= width
    assert text.splitlines()[-1] == "1 of 2 gates hold"


def test_it_says_what_changed_and_where_it_comes_from(across: Contrast) -> None:
    text = printed(across)
    for part in (
        "- rounds: 3 -> 4",
        "speculative-2: lost async-await (McNemar's exact test: p = 1)",
        "one run with both configurations tells more",
        "time a token",
        "FAILED accuracy == 1: failed",
    ):
        assert part in text
    row = next(line for line in text.splitlines() if line.startswith("speculative-2"))
    assert row.split()[-1] == "faster"
    assert "\x1b[" in printed(across, terminal=True)


def test_a_run_of_one_configuration_says_that_there_is_nothing_to_compare(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "r", {"baseline": Arm()}))
    assert "Nothing to compare" in printed(contrast_within(run))


def test_names_are_not_obeyed(tmp_path: Path) -> None:
    name = "\x1b[2Jevil[red]"
    run = read_run(write_run(tmp_path / "r", {"baseline": Arm(), name: Arm()}))
    text = printed(contrast_within(run, None, parse_gates(["accuracy == 1"])))
    assert "\x1b" not in text
    assert "evil[red]" in text
