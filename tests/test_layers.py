"""Who may import whom. The table is the architecture; an import that it lacks is a mistake in one of the two."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "punie_trace"
BASE = {
    "errors", "records", "bound_process", "launch", "user_code", "outside_text", "proxy_routes", "http_clients",
    "descriptors", "plugins",
}  # fmt: skip
LIBRARY = {"engine", "report", "runs", "analysis"}
"""What `library.py` joins; only the command line and the package's own `__init__`, which lists it, import it."""
ALLOWED: dict[str, set[str]] = {
    "suite": {"spans"},
    "models": set(),
    "speculative": set(),
    "spans": {"runs"},
    "runs": {"spans"},
    "servers": {"models"},
    "testing": {"driver"},
    "agent": {"spans"},
    "driver": {"spans", "runs"},
    "analysis": {"spans", "runs"},
    "report": {"analysis", "runs", "spans"},
    "serving": {"speculative", "spans", "models"},
    "training": {"suite", "servers", "spans", "runs", "analysis"},
    "engine": {"suite", "models", "servers", "spans", "agent", "driver", "runs", "analysis"},
    "cli": {"engine", "report", "suite", "models", "servers", "spans", "serving", "training"},
}
ALSO = {  # the doctor's checks say in the report's words what they found
    "engine/ask_checks.py": {"report"},
    "engine/checks.py": {"report"},
    "engine/stack_checks.py": {"report"},
}
LEAVES = (  # modules that import nothing of their folder, so that whoever needs the names may have them
    "punie_trace.spans.names",
    "punie_trace.speculative.registry",
    "punie_trace.engine.progress",
)
HEAVY = ("mlx", "mlx_lm", "transformers", "pydantic_ai", "openai", "logfire")
MLX_ROOMS = {"speculative", "serving"}
MLX_MODULES = {"agent/inprocess.py"}


def modules() -> list[Path]:
    return sorted(p for p in SOURCE.rglob("*.py") if "workspace" not in p.relative_to(SOURCE).parts[:-1])


def imported(file: Path) -> set[str]:
    """Full names of the modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{file}: imports are absolute here"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms_of(names: set[str]) -> set[str]:
    """The folders of this package among imported names."""
    parts = {name.split(".")[1] for name in names if name.startswith("punie_trace.")}
    return {part for part in parts if (SOURCE / part).is_dir()}


@pytest.mark.parametrize("file", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_downward(file: Path) -> None:
    relative = file.relative_to(SOURCE)
    room = relative.parts[0] if len(relative.parts) > 1 else relative.stem
    if room == "__main__":
        return
    if room == "__init__":
        return
    allowed = LIBRARY if room == "library" else set() if room in BASE else ALLOWED[room]
    leaves = {name for name in imported(file) if name.startswith(LEAVES)}
    names = imported(file) - leaves - {leaf.rpartition(".")[0] for leaf in LEAVES}
    assert rooms_of(names) - {room} <= allowed | ALSO.get(relative.as_posix(), set())


def test_only_the_command_line_stands_above_the_library() -> None:
    users = {file.relative_to(SOURCE).parts[0] for file in modules() if "punie_trace.library" in imported(file)}
    assert users <= {"__init__.py", "cli"}
    outer = {file.relative_to(SOURCE).parts[0] for file in modules() if "punie_trace.cli" in imported(file)}
    assert outer <= {"__main__.py", "cli"}


@pytest.mark.parametrize("file", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_mlx_lives_in_its_rooms(file: Path) -> None:
    relative = file.relative_to(SOURCE)
    if relative.parts[0] in MLX_ROOMS or relative.as_posix() in MLX_MODULES:
        return
    assert not {name.split(".")[0] for name in imported(file)} & {"mlx", "mlx_lm"}


def test_every_room_is_in_the_table() -> None:
    folders = {p.name for p in SOURCE.iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    assert folders == set(ALLOWED)


def loaded_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('LOADED', *sorted(m.split('.')[0] for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_importing_the_package_is_light() -> None:
    assert not loaded_after("import punie_trace") & {*HEAVY, "numpy", "pydantic", "httpx2", "opentelemetry"}


def test_the_library_is_loaded_without_models_or_agents() -> None:
    code = (
        "import os; os.environ['PYDANTIC_DISABLE_PLUGINS'] = 'logfire-plugin'\n"  # which is the user's to have
        "from punie_trace import Experiment, measure, read_run, Run"
    )
    assert not loaded_after(code) & {*HEAVY, "numpy"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["report", "--help"],
        ["compare", "--help"],
        ["serve", "--help"],
        ["export", "--help"],
        ["doctor", "--help"],
    ],
)
def test_help_is_light(arguments: list[str]) -> None:
    code = (
        "from punie_trace.cli.main import app\n"
        f"try:\n    app({arguments!r})\nexcept SystemExit as end:\n    assert end.code in (0, None)\n"
    )
    assert not loaded_after(code) & {*HEAVY, "numpy"}


def test_the_http_path_is_asked_without_the_agents_libraries() -> None:
    code = (
        "import os; os.environ['PYDANTIC_DISABLE_PLUGINS'] = 'logfire-plugin'\n"  # as the command line sets it
        "import punie_trace.library\n"
        "from punie_trace.agent.http_path import HttpPath\n"
        "from punie_trace.agent.definitions import definitions_of\n"
        "from punie_trace.agent.toolbox import Toolbox\n"
        "from punie_trace.agent.workspace import Workspace\n"
        "from pathlib import Path\n"
        "definitions_of(Toolbox(Workspace(Path('.'))).functions())"
    )
    assert not loaded_after(code) & set(HEAVY)
