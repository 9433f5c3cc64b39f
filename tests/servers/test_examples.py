"""Each file in examples/servers is a configuration that this version takes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from punie_trace.servers.config import server_config

FOLDER = Path(__file__).parents[2] / "examples" / "servers"
FILES = sorted(FOLDER.glob("*.toml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_is_a_configuration(file: Path) -> None:
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    configurations = content["configurations"]
    assert configurations
    for name, own in configurations.items():
        server_config({**content.get("server", {}), **own}, name)


def test_every_example_stands_in_the_table() -> None:
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(FILES) >= 7
    assert all(f"[{file.name}]({file.name})" in table for file in FILES)
