"""Writes the reference pages that follow from the code.

They are the command line, what a configuration file may hold, what each figure means, and names of spans and metrics.

    uv run python docs/generate.py [--check]

`--check` writes nothing and exits with 1 where a page is not what the code says.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import AliasChoices, BaseModel
from pydantic_core import PydanticUndefined

from punie_trace.analysis.named_figures import FIGURES
from punie_trace.analysis.summary import DEFINITIONS
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
from punie_trace.spans import names
from punie_trace.spans.metrics import COUNTERS, GAUGES, HISTOGRAMS
from punie_trace.spans.prometheus_names import Kind, metric_name

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


def figures_page() -> str:
    """How each figure is defined, and the names by which gates and the library ask for it."""
    parts = [
        MADE,
        "# Definitions of the figures\n",
        "As `punie-trace report --definitions` and the page print them. [The ledger](../ledger.md) explains the lines, "
        "and [what bears on your figures](../findings.md) what to know before trusting one. What was not measured is "
        "*not observable*, with the reason, in every output; it is never guessed.\n",
        "| figure | is |\n|---|---|",
        *(f"| {_cell(name)} | {_cell(meaning)} |" for name, meaning in DEFINITIONS.items()),
        "\n## Names for gates\n",
        "What [a gate](../gates.md) may ask for. *With an interval*: decided on the interval of 95 %, undecided where "
        "it holds the bound. *Against the baseline*: of all configurations but that.\n",
        "| name | is | |\n|---|---|---|",
    ]
    for name, figure in FIGURES.items():
        kinds_of = [
            *(["with an interval"] if figure.estimated else []),
            *(["against the baseline"] if figure.compared else []),
            *(["of answered queries"] if figure.answered_only else []),
        ]
        parts.append(f"| `{name}` | {_cell(figure.meaning)} | {', '.join(kinds_of)} |")
    return "\n".join(parts) + "\n"


SPANS = """\
```
query NAME                INTERNAL  one question in one configuration, from due to done; its ledger stands on it
├ turn N                  INTERNAL  of a session: each has a ledger of its own
└ invoke_agent            the agent's own
  ├ chat MODEL            the agent's own
  │ └ POST                CLIENT    ours: from the first step on the network to the last byte
  │   └ server            SERVER    from a server of kind punie: queue, tokenize, prefill, decode
  │     └ speculation               drafted, accepted, rounds
  └ execute_tool TOOL     the agent's own
```
"""


def telemetry_page() -> str:
    """The names of spans, their attributes and events, and of metrics, with what Prometheus calls them."""
    parts = [
        MADE,
        "# Spans and metrics\n",
        "Names are those of OpenTelemetry's GenAI conventions where these have one, else `punie.*`. Where they go: "
        "[Jaeger, Prometheus and Grafana](../see-it.md).\n",
        "## Spans\n",
        SPANS,
    ]
    for title, rows in _names_by_section():
        parts += [f"### {title}\n", "| name | |\n|---|---|", *rows, ""]
    parts += [
        "## Metrics\n",
        "Cumulative from the start of a run. Each carries `punie.configuration` and `punie.path`, and those of a query "
        "its trace as an exemplar. Gauges are known when the run is over.\n",
        "| name | kind | unit | | in Prometheus |\n|---|---|---|---|---|",
    ]
    instruments: list[tuple[str, Kind, str, str]] = [
        *((name, "histogram", unit, about) for name, unit, _, about in HISTOGRAMS),
        *((name, "counter", unit, about) for name, unit, about in COUNTERS),
        *((name, "gauge", unit, about) for name, unit, about in GAUGES),
    ]
    for name, kind, unit, about in instruments:
        parts.append(f"| `{name}` | {kind} | `{unit}` | {_cell(about)} | `{metric_name(name, unit, kind)}` |")
    return "\n".join(parts) + "\n"


def _names_by_section() -> Iterator[tuple[str, list[str]]]:
    """The constants of `spans.names` as rows, below the comments that head them there; metrics have their own table."""
    title, rows = "", []
    for line in inspect.getsource(names).splitlines():
        if line.startswith("# "):
            if rows:
                yield title, rows
            title, rows = line[2:].partition(",")[0].rstrip("."), []
        found = re.match(r'([A-Z_]+): Final = "([^"]+)"(?:  # (?:noqa: \w+)?(.*))?$', line)
        if found and title and not found[1].startswith("METRIC_"):
            rows.append(f"| `{found[2]}` | {_cell((found[3] or '').strip())} |")
    if rows:
        yield title, rows


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
    """Write the pages, or check that they are what the code says."""
    pages = {
        HERE / "cli.md": cli_page(),
        HERE / "configuration.md": configuration_page(),
        HERE / "figures.md": figures_page(),
        HERE / "telemetry.md": telemetry_page(),
    }
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
