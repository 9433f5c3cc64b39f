"""`punie-trace train`: tune a model for speed on a run of one's own. What it trains on is shown before it trains."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from punie_trace.cli.exits import errors_as_messages

train_app = typer.Typer(
    help="Tune a model of yours for speed, on a run of yours.", no_args_is_help=True, rich_markup_mode=None
)
_EXAMPLES_SHOWN: Final = 3


@train_app.callback()
def train() -> None:
    """Root of what can be trained."""


@train_app.command()
def concise(
    run: Annotated[Path, typer.Option("--from", metavar="RUN", help="The run's folder whose right answers it learns.")],
    model: Annotated[str | None, typer.Option(help="The MLX model to train. [the configuration's own]")] = None,
    configuration: Annotated[str | None, typer.Option(help="Whose answers. [the run's baseline]")] = None,
    out: Annotated[Path, typer.Option(help="Where pairs, adapter and the comparison are written.")] = Path("concise"),
    minutes: Annotated[float, typer.Option(min=0.1, help="The longest that it may train.")] = 15.0,
    passes: Annotated[float, typer.Option(min=0.1, help="How often it sees each example.")] = 3.0,
    learning_rate: Annotated[float, typer.Option(min=0, help="Of Adam.")] = 1e-4,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Train though generation takes little of the time, or answers are few.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Train without asking, once the pairs were shown.")] = False,
) -> None:
    """Train a LoRA on concise versions of a run's right answers, and write a configuration that compares.

    Answers are made shorter by rules (openings, closing phrases, what is repeated) where they stay right. A quarter of
    the questions is held out: what was trained on is not measured on.
    """
    with errors_as_messages():
        from punie_trace import read_run
        from punie_trace.training.concise import plan_concise, show_pairs, train_concise, write_plan
        from punie_trace.training.lora import LoraSettings

        found = read_run(run)
        plan = plan_concise(found.record, found.summary, configuration=configuration, model=model, anyway=anyway)
        compare = write_plan(plan, found.record, out)
        pairs = plan.pairs
        typer.echo(
            f"{pairs.count('tool')} tool and {pairs.count('direct')} direct answers of {plan.configuration}, "
            f"{pairs.shorter_by:.0%} of their characters cut; {len(pairs.held_out)} questions are held out.\n"
        )
        typer.echo(show_pairs(pairs, _EXAMPLES_SHOWN))
        typer.echo(f"All of them: {out / 'pairs.txt'}")
        if not yes and not _agreed():
            typer.echo("Nothing was trained: look at the pairs, then give --yes.")
            raise typer.Exit(0)
        settings = LoraSettings(passes=passes, learning_rate=learning_rate, minutes=minutes)
        trained = train_concise(plan, out, settings, typer.echo)
        ended = "; the time was over, and what had been saved by then is kept" if trained.cut_short else ""
        typer.echo(f"\nTrained for {trained.seconds / 60:.1f} minutes{ended}: {trained.adapters}")
        typer.echo(f"Compare, on the held-out questions:\n  punie-trace run --config {compare}")


def _agreed() -> bool:
    """What the user says; without a terminal nobody can say anything."""
    return sys.stdin.isatty() and typer.confirm("Train on these?")
