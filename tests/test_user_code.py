"""Objects of the user's code by name, and a clear error for each way in which there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from punie_trace.errors import ConfigurationError
from punie_trace.user_code import load_object


@pytest.fixture(autouse=True)
def paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)


def load(reference: str) -> object:
    return load_object(reference, "agent", ConfigurationError)


def test_a_module_of_the_current_folder(tmp_path: Path):
    (tmp_path / "user_module_one.py").write_text("class Outer:\n    inner = 7\n")
    assert load("user_module_one:Outer.inner") == 7


def test_a_file_finds_its_neighbours(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "user_neighbour.py").write_text("value = 5")
    (tmp_path / "sub" / "user_module_two.py").write_text("from user_neighbour import value\nmine = value + 1")
    assert load("sub/user_module_two.py:mine") == 6


WRONG = {
    "no name": ("module", "names no agent: write it as 'package.module:Name'"),
    "nothing after": ("module:", "names no agent"),
    "no module": ("user_nowhere.inner:x", "there is no module 'user_nowhere.inner'"),
    "no file": ("user_nowhere.py:x", "there is no file 'user_nowhere.py'"),
    "no attribute": ("textwrap:dedentt", "there is no 'dedentt' in textwrap (agent 'textwrap:dedentt'); did you mean"),
    "needs another": ("user_needs:x", "user_needs cannot be imported: it needs 'user_missing'"),
    "raises": ("user_raises.py:x", "user_raises.py cannot be imported: ValueError: oh no"),
    "does not parse": ("user_wrong:x", "user_wrong cannot be imported: SyntaxError"),
    "a name that is taken": ("json.py:x", "another module is called 'json' already"),
}


@pytest.mark.parametrize(("reference", "says"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said(tmp_path: Path, reference: str, says: str):
    (tmp_path / "user_needs.py").write_text("import user_missing")
    (tmp_path / "user_raises.py").write_text("raise ValueError('oh no')")
    (tmp_path / "user_wrong.py").write_text("def")
    (tmp_path / "json.py").write_text("x = 1")
    with pytest.raises(ConfigurationError) as caught:
        load(reference)
    assert says in str(caught.value)


def test_an_exit_on_import_is_an_error_too(tmp_path: Path):
    (tmp_path / "user_exits.py").write_text("raise SystemExit(0)")
    with pytest.raises(ConfigurationError, match="SystemExit"):
        load("user_exits:x")
