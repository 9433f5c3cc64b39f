from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.agent.workspace import MAX_FILE_BYTES, Workspace, WorkspaceError
from punie_trace.errors import ConfigurationError


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "root"
    (root / "shop").mkdir(parents=True)
    (root / "shop" / "models.py").write_text(
        "class Order:\n    def total(self):\n        return 1\n\n\n@decorated\ndef total():\n    return 2\n"
    )
    (root / "shop" / "broken.py").write_text("class Order(:\n")
    (root / "notes.txt").write_text("an ORDER (of things\n")
    (root / ".secret").write_text("order\n")
    (root / "binary.bin").write_bytes(b"order\0order")
    (tmp_path / "outside.txt").write_text("order outside\n")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    (root / "linked").symlink_to(tmp_path)
    return Workspace(root)


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--workspace"):
        Workspace(tmp_path / "absent")


def test_files_are_listed_without_hidden_ones_and_links(workspace: Workspace) -> None:
    assert workspace.files() == ["binary.bin", "notes.txt", "shop/broken.py", "shop/models.py"]
    assert workspace.files(pattern="*.py") == ["shop/broken.py", "shop/models.py"]
    assert workspace.files("shop/models.py") == ["shop/models.py"]


@pytest.mark.parametrize(
    "path", ["../outside.txt", "shop/../../outside.txt", "/etc/passwd", "link.txt", "linked/outside.txt", "a\0b"]
)
def test_nothing_outside_the_root_is_read(workspace: Workspace, path: str) -> None:
    with pytest.raises(WorkspaceError):
        workspace.read(path)


@given(st.text(max_size=40))
def test_no_path_leaves_the_root(path: str) -> None:
    root = Path(__file__).parent
    workspace = Workspace(root)
    try:
        resolved = workspace.resolve(path)
    except (WorkspaceError, OSError, ValueError):
        return
    assert resolved.resolve().is_relative_to(root.resolve())


def test_folders_binaries_and_huge_files_are_not_read(workspace: Workspace) -> None:
    (workspace.root / "huge.txt").write_text("x" * (MAX_FILE_BYTES + 1))
    for path, reason in [
        ("shop", "folder"),
        ("binary.bin", "not a text file"),
        ("huge.txt", "larger"),
        ("no", "no 'no'"),
    ]:
        with pytest.raises(WorkspaceError, match=reason):
            workspace.read(path)


def test_search_ignores_case_and_takes_a_broken_pattern_as_text(workspace: Workspace) -> None:
    assert [(m.path, m.line) for m in workspace.search("order")] == [
        ("notes.txt", 1),
        ("shop/broken.py", 1),
        ("shop/models.py", 1),
    ]
    assert [m.path for m in workspace.search("ORDER (of")] == ["notes.txt"]
    assert [m.path for m in workspace.search("total|class", "shop/models.py")] == ["shop/models.py"] * 3
    with pytest.raises(WorkspaceError, match="characters"):
        workspace.search(" ")


def test_definitions_come_with_decorators_and_by_dotted_name(workspace: Workspace) -> None:
    method, function = workspace.definitions("total")
    assert (method.start, method.end) == (2, 3)
    assert function.source == "@decorated\ndef total():\n    return 2"
    assert workspace.definitions("Order.total") == [method]
    assert workspace.definitions("total()") == [method, function]
    assert workspace.definitions("absent") == []
    with pytest.raises(WorkspaceError, match="not the name"):
        workspace.definitions("not a name")
