"""What is said of comparisons that more rounds would not decide."""

from __future__ import annotations

import re

from punie_trace.engine.rounds import _more

BASELINE = {(f"q{n}", 1): 100.0 + 10 * n for n in range(6)}


def times(*gains: float) -> dict[tuple[str, int], float]:
    """Times that are so much better than the baseline's, query by query."""
    return {key: BASELINE[key] / gain for key, gain in zip(BASELINE, gains, strict=True)}


def test_it_says_how_many_more_questions_would_tell() -> None:
    open_ = times(1.3, 0.9, 1.2, 0.95, 1.25, 1.0)
    said = re.fullmatch(r"about (\d+) more questions would tell", _more({"a": BASELINE, "b": open_}, "a", ["b"]))
    assert said is not None
    wider = re.search(r"\d+", _more({"a": BASELINE, "b": times(1.6, 0.7, 1.4, 0.8, 1.5, 0.9)}, "a", ["b"]))
    assert wider is not None
    assert int(wider[0]) > int(said[1]) > 1


def test_where_nothing_was_asked_first_in_both_there_is_no_number() -> None:
    assert _more({"a": BASELINE, "b": {}}, "a", ["b"]) == "ask more questions"
    assert _more({"b": BASELINE}, "a", ["b"]) == "ask more questions"
