"""Any pattern that a model may write ends, in bounded time and memory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie_trace.agent import search
from punie_trace.agent.search import MOST_MATCHES, line_matcher, search_lines

HARD = ["x" * 1999 + "!", "a" * 2000]


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(a|aa)+$", "(.*)*x", "a*a*a*a*b", r"(a+)\1+$", "(?:a+)+b", "(?R)*", "a{5000000000}", "(a{1000}){1000}",
     "a{2147483647}", "(" * 100 + ")" * 100, "[", "\\", "(?P<n>a)(?P<n", "a{1,1000}{1,1000}b", "\\p{Nonsense}"],
)  # fmt: skip
def test_no_pattern_takes_longer_than_it_may(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SEARCH_LIMIT_S", 0.3)
    began = time.monotonic()
    search_lines(pattern, [("f", HARD * 20)])
    assert time.monotonic() - began < 5


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="ab()[]{}*+?|^$\\.,019<>=!:P-&R", min_size=1, max_size=20))
def test_no_text_is_too_odd_for_a_pattern(pattern: str) -> None:
    matches = line_matcher(pattern)
    for line in ("aab", pattern, ""):
        with contextlib.suppress(TimeoutError):
            assert matches(line, time.monotonic() + 0.2) in (True, False)


def test_a_pattern_that_does_not_compile_or_asks_for_too_much_is_text() -> None:
    lines = ["call(a", "a{5000000000} twice"]
    assert [m.line for m in search_lines("call(", [("f", lines)])] == [1]
    assert [m.line for m in search_lines("a{5000000000}", [("f", lines)])] == [2]


def test_only_so_many_lines_are_kept_and_all_are_counted() -> None:
    def big() -> Iterator[str]:
        for _ in range(MOST_MATCHES * 3):
            yield "e" * 100

    found = search_lines("e", [("f", big()), ("g", ["x"]), ("h", ["E"])])
    assert (found.total, found.files, len(found.matches)) == (MOST_MATCHES * 3 + 1, 2, MOST_MATCHES)
    assert not found.stopped


def test_a_search_whose_time_is_over_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SEARCH_LIMIT_S", 0.0)
    found = search_lines("e", [("f", ["e"])])
    assert found.stopped
    assert found.total == 0
