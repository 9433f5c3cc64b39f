from __future__ import annotations

import os
import subprocess
import sys
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


def test_lines_count_as_editors_count_them(workspace: Workspace) -> None:
    (workspace.root / "odd.py").write_bytes("a = '\u2028'\x0c\r\nb = 1\rdef here():\n    pass\n".encode())
    assert workspace.read("odd.py") == ["a = '\u2028'\x0c", "b = 1", "def here():", "    pass"]
    assert [(one.start, one.end) for one in workspace.definitions("here")] == [(3, 4)]
    assert [m.line for m in workspace.search("def here")] == [3]


def test_a_byte_order_mark_hides_nothing(workspace: Workspace) -> None:
    (workspace.root / "marked.py").write_bytes(b"\xef\xbb\xbfclass Marked:\n    pass\n")
    assert [one.source for one in workspace.definitions("Marked")] == ["class Marked:\n    pass"]
    assert workspace.read("marked.py")[0] == "class Marked:"


def test_names_that_are_not_utf8_can_be_shown_and_read(workspace: Workspace) -> None:
    (workspace.root / os.fsdecode(b"caf\xe9.txt")).write_text("order\n")
    assert "caf\\xe9.txt" in workspace.files()
    assert workspace.read("caf\\xe9.txt") == ["order"]
    "\n".join(workspace.files()).encode("utf-8")


def test_a_pipe_is_not_waited_for(workspace: Workspace) -> None:
    os.mkfifo(workspace.root / "pipe.py")
    assert "pipe.py" not in workspace.files()
    with pytest.raises(WorkspaceError, match="not a regular file"):
        workspace.read("pipe.py")


@pytest.mark.parametrize(
    "path", [".env", "deploy/.env.production", ".git/config", "keys/id_ed25519", "server.pem", "store.p12"]
)
def test_secrets_are_not_read_unless_they_are_allowed(workspace: Workspace, path: str) -> None:
    file = workspace.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("-----BEGIN RSA PRIVATE KEY-----\nabc\n" if path.endswith(".pem") else "TOKEN=order\n")
    with pytest.raises(WorkspaceError, match="not read"):
        workspace.read(path)
    assert path not in {match.path for match in workspace.search("TOKEN|BEGIN")}
    assert Workspace(workspace.root, allow_secrets=True).read(path)


def test_an_example_of_an_environment_is_no_secret(workspace: Workspace) -> None:
    (workspace.root / ".env.example").write_text("TOKEN=\n")
    assert workspace.read(".env.example") == ["TOKEN="]


def test_warnings_about_files_that_are_only_read_reach_nobody(workspace: Workspace) -> None:
    (workspace.root / "warns.py").write_text("def here():\n    return '\\d' is 1\n")
    code = (
        "import sys, pathlib; from punie_trace.agent.workspace import Workspace\n"
        "print(len(Workspace(pathlib.Path(sys.argv[1])).definitions('here')))"
    )
    command = [sys.executable, "-W", "always", "-c", code, str(workspace.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("1\n", "")
