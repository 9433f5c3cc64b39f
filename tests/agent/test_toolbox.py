from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.agent.toolbox import ERROR_PREFIX, Toolbox
from punie_trace.agent.workspace import Workspace


@pytest.fixture
def toolbox(tmp_path: Path) -> Toolbox:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "models.py").write_text("class Order:\n    pass\n\n\nclass Basket:\n    order = Order\n")
    return Toolbox(Workspace(tmp_path))


def test_search_says_how_much_there_was_first(toolbox: Toolbox) -> None:
    assert toolbox.search_code("order").splitlines() == [
        "2 matches in 1 file",
        "shop/models.py",
        "1: class Order:",
        "6: order = Order",
    ]
    assert toolbox.search_code("invoice") == "no match for 'invoice'"


def test_definition_gives_the_source(toolbox: Toolbox) -> None:
    assert toolbox.find_definition("Basket") == "shop/models.py:5-6\nclass Basket:\n    order = Order"
    assert toolbox.find_definition("Invoice") == "no definition of 'Invoice'"


def test_what_was_not_looked_at_is_said(toolbox: Toolbox, monkeypatch: pytest.MonkeyPatch) -> None:
    (toolbox.workspace.root / "a.py").write_text("")
    assert toolbox.find_definition("Basket").startswith("shop/models.py:5-6\n")
    for module in ("toolbox", "workspace"):
        monkeypatch.setattr(f"punie_trace.agent.{module}.MAX_FILES", 1)
    cut = "; of the files, no more than 20000 were looked at"
    assert toolbox.search_code("order") == f"no match for 'order'{cut}"
    assert toolbox.find_definition("Basket") == f"no definition of 'Basket'{cut}"
    assert toolbox.list_files() == "1 file or more in .\na.py"


def test_errors_are_text_that_names_the_nearest_file(toolbox: Toolbox) -> None:
    result = toolbox.read_file("models.py")
    assert result.startswith(ERROR_PREFIX)
    assert "the nearest is 'shop/models.py'" in result
    assert toolbox.read_file("../../etc/passwd").startswith(ERROR_PREFIX)
    assert toolbox.list_files("absent").startswith(ERROR_PREFIX)


def test_list_and_read(toolbox: Toolbox) -> None:
    assert toolbox.list_files() == "1 file in .\nshop/models.py"
    assert toolbox.read_file("shop/models.py").startswith("shop/models.py, 6 lines\nclass Order:")


@given(st.integers(60, 400), st.integers(1, 20))
def test_results_stay_within_their_limits(max_chars: int, max_lines: int) -> None:
    box = Toolbox(Workspace(Path(__file__).parents[1]), max_chars=max_chars, max_lines=max_lines)
    result = box.list_files()
    *kept, last = result.splitlines()
    assert len("\n".join(kept)) <= max_chars
    assert len(kept) <= max_lines + 1
    assert "more line" in last or len(result) <= max_chars
