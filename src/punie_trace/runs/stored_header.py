"""The header of a run in its folder, there and back, and the names of the files beside it. It knows no other file."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Final

from pydantic import JsonValue, ValidationError

from punie_trace.errors import RunFolderError
from punie_trace.runs.header import SCHEMA_VERSION, RunHeader

HEADER_FILE: Final = "run.json"
OUTCOMES_FILE: Final = "outcomes.jsonl"
SPANS_FILE: Final = "spans.jsonl"
WORKSPACE_FOLDER: Final = "workspace"
"""Below it lies the code base that was made for a run; others of the run have a name behind it."""
CONDITIONS_FILE: Final = "conditions.jsonl"
ENERGY_FILE: Final = "energy.jsonl"
SERVERS_FOLDER: Final = "servers"
PROGRAMS_FOLDER: Final = "programs"
PARTS_FOLDER: Final = "parts"
"""What each of several generators wrote, in folders of a run's own form."""
_MOST_HEADER_BYTES: Final = 64 * 2**20
_MOST_DIGITS: Final = 30
"""No whole number that a run writes is longer; one of over 308 digits cannot even be divided."""


def read_header(folder: Path) -> RunHeader:
    """The header of a run. Raises `RunFolderError` for what is no run, or one of another version."""
    path = folder / HEADER_FILE
    if not folder.exists():
        raise RunFolderError(f"{folder}: there is no such folder. Give the folder of a run, such as runs/<id>")
    check_is_file(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"), parse_int=_whole_number)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunFolderError(
            f"{folder} is not a run: it has no {HEADER_FILE}. Give the folder that 'punie-trace run' named at its end"
        ) from error
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise RunFolderError(
            f"{path} is not JSON ({error}): it is not from punie-trace, or was changed since"
        ) from error
    version = values.get("schema_version") if isinstance(values, dict) else None
    if version != SCHEMA_VERSION:
        raise RunFolderError(
            f"{path} has schema version {version!r}, and this punie-trace reads {SCHEMA_VERSION}: "
            "read it with the version that wrote it (see 'versions' in the file)"
        )
    try:
        return RunHeader.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunFolderError(f"{path}: {where}: {first['msg']}. The file was changed or is not whole") from error


def _whole_number(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def check_is_file(path: Path) -> None:
    """Raises `RunFolderError` for a pipe, a device or a folder: reading one may never end. Nothing may be there."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # whoever opens it says why it cannot be
    if not stat.S_ISREG(mode):
        raise RunFolderError(f"{path} is no ordinary file, and is not read: give the folder as the run left it")
    if stat.S_ISREG(mode) and path.name == HEADER_FILE and path.stat().st_size > _MOST_HEADER_BYTES:
        raise RunFolderError(f"{path} is larger than any header of a run: the file was changed since it was written")


def write_header_file(folder: Path, values: JsonValue) -> None:
    """Put `run.json` in its place whole. Raises `OSError`."""
    unfinished = folder / f".{HEADER_FILE}.tmp"
    try:
        unfinished.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(folder / HEADER_FILE)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
