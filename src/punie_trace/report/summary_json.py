"""`summary.json`: the figures of a run as a file. The same run folder gives the same bytes; nothing is computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from punie_trace.analysis.figures import SUMMARY_SCHEMA_VERSION, Summary
from punie_trace.errors import RunFolderError

SUMMARY_FILE: Final = "summary.json"


def summary_text(summary: Summary) -> str:
    """The file's text: keys in the order of the models, configurations in the order of the run, in ASCII."""
    return json.dumps(summary.model_dump(mode="json"), indent=2) + "\n"


def write_summary(run_folder: Path, summary: Summary) -> Path:
    """Write `summary.json` whole, or leave the one that is there; returns its path. Raises `RunFolderError`."""
    path = run_folder / SUMMARY_FILE
    unfinished = run_folder / f".{SUMMARY_FILE}.tmp"
    try:
        unfinished.write_text(summary_text(summary), encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise RunFolderError(
            f"{path}: cannot be written ({error.strerror}). The run itself is kept: make space or the folder writable, "
            f"then 'punie-trace report {run_folder}' makes the summary again"
        ) from error
    return path


def read_summary(run_folder: Path) -> Summary:
    """Read `summary.json` back. Raises `RunFolderError` where there is none, or one of another version."""
    path = run_folder / SUMMARY_FILE
    again = f"'punie-trace report {run_folder}' makes it again"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunFolderError(f"{run_folder} has no {SUMMARY_FILE}: {again}") from error
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path}: cannot be read ({error}): {again}") from error
    version = values.get("schema_version") if isinstance(values, dict) else None
    if version != SUMMARY_SCHEMA_VERSION:
        raise RunFolderError(f"{path} has schema version {version!r}, not {SUMMARY_SCHEMA_VERSION}: {again}")
    try:
        return Summary.model_validate(values)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise RunFolderError(f"{path}: {where}: {error.errors()[0]['msg']}: {again}") from error
