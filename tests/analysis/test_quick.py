"""A quick look says with its own figures what it cannot tell; any other run says nothing of the kind."""

from __future__ import annotations

from pathlib import Path

from punie_trace.analysis.quick import quick_finding
from punie_trace.analysis.summary import summarize
from punie_trace.runs.header import QuickRecord
from punie_trace.runs.reader import read_run
from tests.synthetic_run import ARMS, write_run


def test_it_names_what_was_left_out_and_what_its_own_intervals_hide(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "r", ARMS))
    summary = summarize(run)
    assert list(quick_finding(run.header, summary)) == []
    quick = run.header.model_copy(update={"quick": QuickRecord(of=60, left_out=("adaptive",)), "rounds": 1})
    (text,) = quick_finding(quick, summary)
    assert text.startswith("a quick look: 5 of 60 questions in 1 round; adaptive not measured. It cannot tell ")
    ratio = next(one.speed for one in summary.comparisons if one.speed is not None)
    assert ratio.low is not None
    assert ratio.high is not None
    assert "differences in speed below about 1." in text
    assert "accuracy (" in text
    assert "% in truth)" in text
    assert "without --quick" in text
