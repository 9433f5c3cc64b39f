"""The public names, and that naming the package loads nothing heavy."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import punie_trace.speculative as library


def test_every_public_name_is_there() -> None:
    for name in library.__all__:
        assert getattr(library, name) is not None
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = library.nothing_of_the_kind


def test_what_a_request_asks_for_needs_no_mlx() -> None:
    code = (
        "import sys\nfrom punie_trace.speculative import Speculation, AdaptiveController, GenerationRecord\n"
        "print(Speculation('fixed', k=2), 'mlx' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split()[-2:] == ["False", "False"]


def test_the_example_of_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "speculative" / "integration.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(block, "integration.md", "exec"), {})
    assert "dependency injection is a general idea" in capsys.readouterr().out
