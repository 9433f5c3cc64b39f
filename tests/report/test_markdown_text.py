from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.report.markdown_text import block, code, table, text


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        ("speculative-3", "speculative-3"),
        ("a|b", r"a\|b"),
        ("<script>alert(1)</script>", r"\<script\>alert(1)\</script\>"),
        ("[x](javascript:1)", r"\[x\](javascript:1)"),
        ("two\nlines\x1b[2J", r"two lines \[2J"),
        ("1. first", r"1\. first"),
        ("- item", r"\- item"),
        ("2026-11-21", "2026-11-21"),
    ],
)
def test_texts_do_not_act(given_: str, shown: str) -> None:
    assert text(given_) == shown


def test_nothing_links_by_itself() -> None:
    shown = text("@someone #12 see https://example.org or www.example.org")
    assert not re.search(r"@\w|#\d|://|www\.", shown)


@pytest.mark.parametrize(
    ("given_", "shown"), [("a", "`a`"), ("a`b", "``a`b``"), ("`a`", "`` `a` ``"), ("a|b", r"`a\|b`"), ("", "` `")]
)
def test_code_is_fenced_beyond_what_is_in_it(given_: str, shown: str) -> None:
    assert code(given_) == shown


@given(st.text())
def test_code_never_ends_early_nor_spans_lines(value: str) -> None:
    shown = code(value)
    fence = re.match("`+", shown)
    assert fence is not None
    inside = shown[len(fence[0]) : -len(fence[0])]
    assert fence[0] not in re.findall("`+", inside)
    assert "\n" not in shown


def test_blocks_hold_fences_and_tables_hold_rows() -> None:
    assert block("a\n```\nb") == "````\na\n```\nb\n````"
    assert table(("a", "b"), [("1", "2")], (False, True)) == "| a | b |\n| --- | ---: |\n| 1 | 2 |"
