"""Writes the reference pages that follow from the code: the command line, and what a configuration file may hold.

    uv run python docs/generate.py [--check]

`--check` writes nothing and exits with 1 where a page is not what the code says.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import AliasChoices, BaseModel
from pydantic_core import PydanticUndefined

from punie_trace.cli.main import app
from punie_trace.engine.experiment import (
    AgentSettings,
    Configuration,
    Experiment,
    FleetSettings,
    LoadSettings,
    Objectives,
)
from punie_trace.servers import kinds

HERE = Path(__file__).parent / "reference"
MADE = "<!-- made by docs/generate.py from the code: change it there -->\n"
TABLES: tuple[tuple[str, type[BaseModel], str], ...] = (
    ("The whole of the file", Experiment, ""),
    ("`[agent]`", AgentSettings, ""),
    ("`[load]`", LoadSettings, ""),
    ("`[fleet]`", FleetSettings, "Load generators of their own: [several machines](../scale.md).\n"),
    ("`[objectives]`", Objectives, ""),
)


def cli_page() -> str:
    """Each command with its help and its options, those that `--help` leaves out included."""
    group = typer.main.get_command(app)
    parts = [MADE, "# Command line\n", "`punie-trace COMMAND` and `python -m punie_trace COMMAND` are the same.\n"]
    for name, command in sorted(_commands(group)):
        words = inspect.cleandoc(command.help or "").replace("\b", "").strip()
        first, _, rest = words.partition("\n\n")
        parts.append(f"## punie-trace {name}\n\n{' '.join(first.split())}\n")
        if rest.strip():
            parts.append(f"```\n{textwrap.dedent(rest).strip()}\n```\n")
        parts.append("| option | |\n|---|---|")
        for option in command.params:
            names = (
                ", ".join(f"`{one}`" for one in option.opts)
                if option.param_type_name == "option"
                else "`" + (option.metavar or option.name or "") + "`"
            )
            parts.append(f"| {names} | {_cell(getattr(option, 'help', None) or '')} |")
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _commands(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Each command by its whole name; of a group, those in it."""
    for name, command in group.commands.items():
        if getattr(command, "commands", None):
            yield from _commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def configuration_page() -> str:
    """Every key of the TOML file, with type, default and meaning."""
    parts = [
        MADE,
        "# Configuration\n",
        "A TOML file (`--config punie-trace.toml`), or the same names as keywords of `Experiment`. Flags go over the "
        "file. Keys that are not here are refused, with the nearest one that is.\n",
    ]
    for title, model, about in TABLES:
        parts += [f"## {title}\n", about or _first_paragraph(model)]
        parts += [_rows(model, skip=("agent", "fleet", "load", "objectives", "server", "configurations")), ""]
    parts += [
        "## `[server]` and `[configurations.NAME]`\n",
        "`[server]` holds what all configurations share, each `[configurations.NAME]` what is its own; both take the "
        "settings of the server's `kind`. A configuration takes these as well:\n",
        _rows(Configuration, skip=("name",)),
        "",
    ]
    for model in _kinds():
        kind = get_args(model.model_fields["kind"].annotation)[0]
        parts += [f'### `kind = "{kind}"`\n', (inspect.getdoc(model) or "").split("\n\n")[0].replace("\n", " ") + "\n"]
        parts += [_rows(model, skip=("kind",)), ""]
    return "\n".join(parts).rstrip() + "\n"


def _first_paragraph(model: type[BaseModel]) -> str:
    return " ".join((inspect.getdoc(model) or "").split("\n\n")[0].split()) + "\n"


def _kinds() -> list[type[BaseModel]]:
    found = [
        value
        for value in vars(kinds).values()
        if inspect.isclass(value) and issubclass(value, BaseModel) and "kind" in value.model_fields
    ]
    return [model for model in found if get_args(model.model_fields["kind"].annotation)]


def _rows(model: type[BaseModel], skip: tuple[str, ...] = ()) -> str:
    about = dict(_attribute_docstrings(model))
    lines = ["| key | type | default | |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if name in skip:
            continue
        default = "" if field.default in (PydanticUndefined, None) else f"`{_plain(field.default)}`"
        text = field.description or about.get(name, "")
        alias = field.validation_alias
        shown = alias.choices[0] if isinstance(alias, AliasChoices) else name
        lines.append(f"| `{shown}` | {_cell(_type(field.annotation))} | {_cell(default)} | {_cell(text)} |")
    return "\n".join(lines)


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else "[]" if value == () else str(value)


def _type(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _type(get_args(annotation)[0])
    if origin is Literal:
        return " or ".join(f'"{one}"' if isinstance(one, str) else str(one) for one in get_args(annotation))
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(one) for one in get_args(annotation) if one is not type(None)))
    if origin is not None and issubclass(origin, dict):
        return "table"
    if origin is not None:
        return "list"
    words = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}
    return words.get(annotation, "text" if annotation is None else getattr(annotation, "__name__", str(annotation)))


def _attribute_docstrings(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """The text below each field, those of the classes above it first."""
    for owner in reversed(model.__mro__):
        if not issubclass(owner, BaseModel) or owner is BaseModel:
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(tree, ast.ClassDef)
        for field, text in zip(tree.body, tree.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                assert isinstance(field.target, ast.Name)
                yield field.target.id, " ".join(str(text.value.value).split())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def main() -> int:
    """Write both pages, or check that they are what the code says."""
    pages = {HERE / "cli.md": cli_page(), HERE / "configuration.md": configuration_page()}
    if "--check" in sys.argv[1:]:
        stale = [file.name for file, text in pages.items() if not file.is_file() or file.read_text() != text]
        print("stale:" if stale else "up to date", *stale)
        return 1 if stale else 0
    HERE.mkdir(exist_ok=True)
    for file, text in pages.items():
        file.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
