"""What an agent gave, on its way to the process of the evaluators: the object itself, where it is more than a text.

Evaluators of a structured output look at its fields, as they do under pydantic-evals. The object goes through pickle,
so its class has to be found by name there as it was here; where it is not (a class of a notebook, a closure), the
evaluators get the same as JSON's values, and what fails for that reason says so. Nothing is judged here.
"""

from __future__ import annotations

import dataclasses
import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json

from punie_trace.user_code import import_from

MOST_BYTES: Final = 16 * 2**20
"""Of a pickled output; what is larger goes as JSON's values."""
_TEXT_LIMIT: Final = 300


@dataclass(frozen=True, slots=True)
class SentOutput:
    """An output that crosses to another process; `unpack` gives it back. `plain` is its text, or JSON's values."""

    plain: object
    pickled: bytes | None = None
    paths: tuple[str, ...] = ()
    """Where modules were looked for when the object was made."""
    problem: str | None = None
    """Why the object itself cannot be sent."""

    def unpack(self) -> tuple[object, str | None]:
        """The output, and why it is not the very object that the agent gave; None where it is. Raises nothing."""
        if self.pickled is None:
            return self.plain, self.problem
        known = set(sys.path)
        import_from(Path(path) for path in self.paths if path and path not in known)
        try:
            return pickle.loads(self.pickled), None  # noqa: S301 - our own process wrote it, of the user's own agent
        except (Exception, SystemExit) as error:  # its module is imported
            return self.plain, _why(error)


def send(text: str, output: object) -> SentOutput:
    """An answer as it goes to the evaluators: its `text`, or the `output`, whose JSON the text is. Raises nothing."""
    if output is None:
        return SentOutput(text)
    plain = from_json(text)
    try:
        pickled = pickle.dumps(output)
    except Exception as error:
        return SentOutput(plain, problem=_why(error))
    if len(pickled) > MOST_BYTES:
        return SentOutput(plain, problem=f"it is larger than {MOST_BYTES // 2**20} MiB")
    return SentOutput(plain, pickled, tuple(sys.path))


def expected_like(expected: object, output: object) -> object:
    """What a dataset expects, in the class of what came, as a dataset of that class would have read it.

    Without this a mapping of the file would never equal the model that it describes. What does not fit stays as it is.
    """
    if isinstance(expected, list) and isinstance(output, list) and output:
        return [expected_like(one, output[0]) for one in expected]
    if not isinstance(expected, Mapping) or not _has_fields(output):
        return expected
    adapter: TypeAdapter[Any] = TypeAdapter(type(output))
    try:
        return adapter.validate_python(expected)
    except ValidationError:
        return expected


def _has_fields(output: object) -> bool:
    return isinstance(output, BaseModel) or dataclasses.is_dataclass(output)


def _why(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:_TEXT_LIMIT]
