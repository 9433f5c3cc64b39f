"""The examples of the library run as they stand: the script, and the notebook's cells under a running event loop."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from punie_trace import Run

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.timeout(300)


def test_the_script_measures_compares_and_writes_a_page(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "library.py"), str(folder)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "adaptive: " in done.stdout
    assert "baseline: 5 of 5 right" in done.stdout
    assert (folder / "report.html").is_file()


def test_the_notebooks_cells_run_in_order_where_an_event_loop_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    names: dict[str, Any] = {}

    async def run_cells() -> None:
        for number, cell in enumerate(cells):
            code = compile(cell, f"cell {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, names)
            if inspect.iscoroutine(result):
                await result

    asyncio.run(run_cells())
    run = names["run"]
    assert isinstance(run, Run)
    assert run.status == "done"
    assert run._repr_html_().startswith("<table>")
    assert len(names["ended"]) == 10
