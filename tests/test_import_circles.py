"""No module of the package imports itself by way of others, be it for types alone or inside a function."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
FRONT = "punie_trace"


def modules(source: Path) -> dict[str, Path]:
    """Each module's full name, a package's being that of its `__init__`."""
    found = {}
    for file in sorted(source.rglob("*.py")):
        parts = file.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(file: Path, known: Iterable[str]) -> set[str]:
    """Which of the `known` modules a file names in an import, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            # 'from package import module' needs the package's own module only where it is asked for another name.
            names |= inner if inner <= set(known) else {node.module} | inner
    return names & set(known)


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """The names along one circle, the first at both ends; [] where there is none."""
    over: set[str] = set()

    def walk(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in over:
            return []
        for other in sorted(graph[name]):
            if found := walk(other, [*trail, name]):
                return found
        over.add(name)
        return []

    for name in sorted(graph):
        if found := walk(name, []):
            return found
    return []


def test_no_module_imports_itself_by_way_of_others() -> None:
    files = modules(SOURCE)
    assert len(files) > 100, "the source was not found"
    # The package's own module is left out: it holds the version, which many ask for, and the library only by name.
    graph = {name: imports(file, files) - {name, FRONT} for name, file in files.items() if name != FRONT}
    assert not (found := circle(graph)), " -> ".join(found)


def test_a_circle_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f():\n    from c import x\n")
    (tmp_path / "b.py").write_text("import a\n")
    (tmp_path / "c.py").write_text("import typing\nif typing.TYPE_CHECKING:\n    import b\n")
    (tmp_path / "d.py").write_text("import a\n")
    files = modules(tmp_path)
    assert circle({name: imports(file, files) for name, file in files.items()}) == ["a", "c", "b", "a"]
