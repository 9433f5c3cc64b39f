"""The sample workspace is the code base that it is said to be, and its files fit the tools' limits."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter

import pytest

from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.suite.load import sample_workspace

WORKSPACE = Workspace(sample_workspace())
FILES = WORKSPACE.files()
PYTHON_FILES = WORKSPACE.files(pattern="*.py")


def test_it_has_the_size_of_a_small_code_base():
    assert 25 <= len(FILES) <= 40


@pytest.mark.parametrize(
    "name", ["manage.py", "README.md", "requirements.txt", "settings.py", "models.py", "views.py", "serializers.py"]
)
def test_it_has_what_a_django_project_has(name: str):
    assert WORKSPACE.files(pattern=name)


@pytest.mark.parametrize("path", PYTHON_FILES)
def test_each_module_parses_and_says_what_it_is(path: str):
    tree = ast.parse("\n".join(WORKSPACE.read(path)))
    assert ast.get_docstring(tree)


@pytest.mark.parametrize("path", FILES)
def test_each_file_is_shown_whole_by_the_tool(path: str):
    shown = Toolbox(WORKSPACE, max_chars=1600).read_file(path)
    assert shown.splitlines()[1:] == WORKSPACE.read(path)
    assert len(WORKSPACE.read(path)) <= 60


def test_it_follows_pep_8():
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--line-length", "100"]
    command = [*ruff, "--select", "E,F,W,I,N", "--quiet", "."]
    done = subprocess.run(command, cwd=WORKSPACE.root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_each_class_and_function_has_a_name_of_its_own():
    names = Counter(
        node.name
        for path in PYTHON_FILES
        for node in ast.parse("\n".join(WORKSPACE.read(path))).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert len(names) > 50
    assert {name: len(WORKSPACE.definitions(name)) for name in names} == dict.fromkeys(names, 1)


def test_user_serializer_is_one_short_class():
    (found,) = WORKSPACE.definitions("UserSerializer")
    assert found.path == "accounts/serializers.py"
    assert 12 <= found.end - found.start + 1 <= 20


@pytest.mark.parametrize(("pattern", "least", "most"), [("view", 15, 30), ("async def|await", 10, 25)])
def test_the_common_searches_find_a_page(pattern: str, least: int, most: int):
    assert least <= len(WORKSPACE.search(pattern)) <= most


def test_imports_within_it_lead_somewhere():
    modules = {path.removesuffix(".py").replace("/", ".") for path in PYTHON_FILES}
    apps = {module.partition(".")[0] for module in modules if "." in module}
    for path in PYTHON_FILES:
        for node in ast.walk(ast.parse("\n".join(WORKSPACE.read(path)))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in apps:
                for alias in node.names:
                    file = node.module.replace(".", "/") + ".py"
                    inside = file in PYTHON_FILES and WORKSPACE.search(rf"^(class|(async )?def) {alias.name}\b", file)
                    assert inside or f"{node.module}.{alias.name}" in modules, f"{path}: {alias.name}"
