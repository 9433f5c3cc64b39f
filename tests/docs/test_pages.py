"""The docs hold what the code says: reference pages, commands, files in TOML, Python, and links."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from punie_trace.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PLACEHOLDER = re.compile(r"[A-Z]{3,}|\.\.\.")


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (f"{page.relative_to(ROOT)}#{number}", text)
        for page in PAGES
        for number, (found, text) in enumerate(FENCE.findall(page.read_text(encoding="utf-8")))
        if found == language
    ]


def test_reference_pages_are_what_the_code_says() -> None:
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}run: uv run python docs/generate.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_page_is_in_the_sites_navigation() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    listed = set(re.findall(r"[\w/-]+\.md", str(site["project"]["nav"])))
    there = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert listed == there


@pytest.mark.parametrize(("where", "text"), blocks("toml"), ids=[where for where, _ in blocks("toml")])
def test_files_in_toml_can_be_read(where: str, text: str) -> None:
    tomllib.loads(text)


@pytest.mark.parametrize(("where", "text"), blocks("python"), ids=[where for where, _ in blocks("python")])
def test_python_compiles(where: str, text: str) -> None:
    compile(text, where, "exec", flags=0x2000)  # top-level await, as in a notebook


@pytest.mark.parametrize(("where", "text"), blocks("sh"), ids=[where for where, _ in blocks("sh")])
def test_commands_name_options_that_there_are(where: str, text: str) -> None:
    group = typer.main.get_command(app)
    commands = getattr(group, "commands")  # noqa: B009  # typer's own type does not tell
    for line in text.replace("\\\n", " ").splitlines():
        found = re.search(r"(?:punie-trace|-m punie_trace) (\w+)(.*)", line.partition(" #")[0])
        if found is None or found[1] not in commands:
            assert found is None or found[1] == "COMMAND", line
            continue
        command = commands[found[1]]
        if (within := getattr(command, "commands", None)) is not None:  # a group: its own command is the next word
            command = within[found[2].split()[0]]
        known = {name for option in command.params for name in option.opts}
        takes_more = command.context_settings.get("ignore_unknown_options")
        for option in re.findall(r"(?<!\S)--[\w-]+", found[2]):
            assert option in known or option == "--help" or takes_more, f"{line}: {option}"
