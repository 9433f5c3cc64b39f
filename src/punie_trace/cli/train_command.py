"""`punie-trace train demo`: the shipped model's recipe, kept away from the questions of the shipped suites."""

from __future__ import annotations

from pathlib import Path

import typer

from punie_trace.cli.openblas import restart_with_openblas
from punie_trace.errors import ConfigurationError
from punie_trace.suite.load import load_suite, shipped_suites


def train_demo_command(out: Path, seed: int, minutes: float | None) -> None:
    """Makes tokenizer, target and draft in `out`; goes on from the checkpoints there, if there are any."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot make the folder {str(out)!r}: {error.strerror or error}") from error
    restart_with_openblas()
    from punie_trace.training.demo import train_demo

    questions = [query.text for name in shipped_suites() for query in load_suite(name).queries]
    target, draft = train_demo(out, seed=seed, minutes=minutes, forbidden=questions, on_progress=_say)
    _say(f"measure them: punie-trace run --model {target} --draft-model {draft}")


def _say(text: str) -> None:
    typer.echo(text, err=True)
