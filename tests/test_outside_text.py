from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.errors import ServerError
from punie_trace.outside_text import one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\tb\nc\r\nd\re", "a\tb\nc\nd\ne"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]52;c;ZXZpbA==\x07after the clipboard", "after the clipboard"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never closed", ""),
        ("\x9b2Jcleared\x9d52;c;x\x9cdone", "cleareddone"),
        ("\x1bPq#0;2;0;0;0\x1b\\sixel", "sixel"),
        ("\x1bcreset", "reset"),
        ("bell\x07 back\x08 nul\x00 del\x7f", "bell back nul del"),
        ("\u202egpj.exe", "gpj.exe"),
        ("half \ud800 of a pair", "half \ufffd of a pair"),
        ("Grüße, 世界 \U0001f642", "Grüße, 世界 \U0001f642"),
        ("thin\u2009space\u2028line", "thin space line"),
    ],
)
def test_nothing_is_left_that_a_terminal_would_obey(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters() | st.sampled_from("\x1b\x9b\x9d[]\x07\\;\n\u202e")))
def test_any_text_becomes_fit_to_be_printed(text: str) -> None:
    out = printable(text)
    assert all(c.isprintable() or c in "\n\t" for c in out)
    assert printable(out) == out
    line = one_line(text, 40)
    assert line.isprintable()
    assert len(line) <= 43


def test_text_that_is_printable_already_stays() -> None:
    assert printable("x" * 1000) == "x" * 1000


def test_one_line_marks_what_it_cuts() -> None:
    assert one_line("word " * 100, 10) == "word word..."


def test_errors_repeat_nothing_that_a_terminal_would_obey() -> None:
    error = ServerError("it answered \x1b]52;c;eA==\x07500", "log \x1b[2J end")
    assert str(error) == "it answered 500\nIts last output:\nlog  end"
