"""Arrivals to replay: the due times of an earlier run, or a text file with a time in seconds on each line."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from punie_trace.driver.arrivals import Recorded, recorded
from punie_trace.errors import ConfigurationError
from punie_trace.runs.reader import OUTCOMES_FILE, read_run

_LONGEST: Final = 40


def read_arrivals(source: Path) -> Recorded:
    """The arrivals in `source`. Raises `ConfigurationError` that names the file and the line.

    A run's folder, or its outcomes file: the due times of its baseline, or of the only configuration that it has. A
    text file: seconds in order, from any start; empty lines and what follows '#' are passed over.
    """
    if source.is_dir() or source.name == OUTCOMES_FILE:
        return _of_run(source if source.is_dir() else source.parent)
    try:
        text = source.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(f"there is nothing to replay at {str(source)!r}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the arrivals in {str(source)!r}: {error}") from error
    offsets: list[float] = []
    for number, line in enumerate(text.splitlines(), start=1):
        written = line.partition("#")[0].strip()
        if not written:
            continue
        try:
            offsets.append(float(written))
        except ValueError:
            raise ConfigurationError(
                f"{source}, line {number}: {written[:_LONGEST]!r} is no time; it holds one number of seconds a line"
            ) from None
    return recorded(offsets, str(source))


def _of_run(folder: Path) -> Recorded:
    run = read_run(folder)
    asked = dict.fromkeys(outcome.configuration for outcome in run.outcomes)
    name = run.header.baseline_name if run.header.baseline_name in asked else next(iter(asked), None)
    due = sorted(outcome.due_ns for outcome in run.outcomes if outcome.configuration == name)
    return recorded([(at - due[0]) / 1e9 for at in due], str(folder))
