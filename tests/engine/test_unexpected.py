from __future__ import annotations

from pathlib import Path

from punie_trace.engine.unexpected import TRACEBACK_FILE, first_error, in_words
from punie_trace.errors import RunFolderError, ServerError, UnexpectedError
from punie_trace.runs.secrets import Secrets


def test_of_a_group_the_error_that_can_be_mended_is_told() -> None:
    mendable = RunFolderError("the disk is full")
    group = BaseExceptionGroup("", [ValueError("x"), ExceptionGroup("", [mendable])])
    assert first_error(group) is mendable
    alone = ValueError("x")
    assert first_error(ExceptionGroup("", [alone])) is alone
    assert first_error(alone) is alone


def test_what_nobody_expected_names_its_kind_and_leaves_its_traceback(tmp_path: Path) -> None:
    try:
        raise TypeError("a list was given \ud800")
    except TypeError as error:
        told = in_words(error, tmp_path, Secrets())
    assert isinstance(told, UnexpectedError)
    assert "TypeError: a list was given" in str(told)
    assert "please report it" in str(told)
    assert "raise TypeError" in (tmp_path / TRACEBACK_FILE).read_text()


def test_where_not_even_the_traceback_can_be_written_the_words_remain(tmp_path: Path) -> None:
    assert "KeyError: 'x'" in str(in_words(KeyError("x"), tmp_path / "absent", Secrets()))


KEY = "sk-0123456789"


def test_neither_words_nor_traceback_hold_a_secret(tmp_path: Path) -> None:
    secrets = Secrets([KEY])
    try:
        raise RuntimeError(f"refused: {KEY}")
    except RuntimeError as error:
        told = in_words(error, tmp_path, secrets)
    assert "refused: ***" in str(told)
    assert KEY not in (tmp_path / TRACEBACK_FILE).read_text()
    server = ServerError(f"the server exited: serve --api-key {KEY}", f"bad key {KEY}")
    known = in_words(server, tmp_path, secrets)
    assert known is server
    assert str(server) == "the server exited: serve --api-key ***\nIts last output:\nbad key ***"
    assert server.log_tail == "bad key ***"
