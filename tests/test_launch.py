"""What passes through the launcher on its way to a log: no value that must not be there, wherever a piece ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from punie_trace.launch import Cleaner

LETTERS = st.text("ab", max_size=40).map(str.encode)
VALUES = st.lists(st.text("ab", min_size=2, max_size=6).map(str.encode), max_size=4)


def cleaned(values: list[bytes], pieces: list[bytes]) -> bytes:
    cleaner = Cleaner(values)
    return b"".join(map(cleaner.clean, pieces)) + cleaner.clean(b"", last=True)


@given(VALUES, st.lists(LETTERS, max_size=8))
def test_where_a_piece_ends_changes_nothing(values: list[bytes], pieces: list[bytes]) -> None:
    whole = cleaned(values, [b"".join(pieces)])
    assert cleaned(values, pieces) == whole
    assert cleaned(values, [bytes([one]) for one in b"".join(pieces)]) == whole


@given(VALUES, LETTERS)
def test_no_value_is_left_and_the_rest_stays(values: list[bytes], text: bytes) -> None:
    clean = cleaned(values, [text])
    assert not any(value in part for value in values for part in clean.split(b"***"))
    if not any(value in text for value in values):
        assert clean == text


def test_only_what_may_be_the_beginning_of_a_value_waits() -> None:
    cleaner = Cleaner([b"secret-one", b"secret-one-and-more"])
    assert cleaner.clean(b"a line\nsec") == b"a line\n"
    assert cleaner.clean(b"ond\nsecret-one") == b"second\n"
    assert cleaner.clean(b"-and\xff") == b"***-and\xff"
    assert cleaner.clean(b"secret-one-and-more") == b"***"
    assert Cleaner([]).clean(b"anything") == b"anything"
