"""Read a pydantic-evals `Dataset` file as it stands: its cases and evaluators, and nothing of what they mean.

YAML and JSON, with or without a byte-order mark. pydantic-evals itself takes seconds to import, and refuses a file
whose evaluators it was not given; so what is asked is read here, and its own `Dataset` is made only where evaluators
are run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from punie_trace.errors import SuiteError

SUFFIXES = (".yaml", ".yml", ".json")


def read_dataset(data: bytes, file: Path) -> dict[str, object]:
    """The mapping in `data`, of which 'cases' is a list that is not empty.

    Raises `SuiteError` that names `file`, and the line where one is known.
    """
    loaded = _parse(data, file)
    if loaded is None:
        raise SuiteError(f"{file} is empty: it holds no cases; add at least one under 'cases:'")
    if not isinstance(loaded, dict) or "cases" not in loaded:
        raise SuiteError(f"{file} is no pydantic-evals dataset: it needs a list of cases under the key 'cases'")
    cases = loaded["cases"]
    if cases is not None and not isinstance(cases, list):
        raise SuiteError(f"{file}: 'cases' must be a list, and it is {kind_of(cases)}")
    if not cases:
        raise SuiteError(f"{file} holds no cases; add at least one under 'cases:'")
    return loaded


def cases_of(dataset: Mapping[str, object]) -> list[object]:
    """The cases of what `read_dataset` gave."""
    cases = dataset["cases"]
    return cases if isinstance(cases, list) else []


def evaluators_of(holder: Mapping[str, object], where: str) -> list[object]:
    """The specifications of evaluators in a case or a whole dataset; [] where there are none."""
    found = holder.get("evaluators")
    if found is None:
        return []
    if not isinstance(found, list):
        raise SuiteError(f"{where}: 'evaluators' must be a list, and it is {kind_of(found)}")
    return found


def evaluator_name(spec: object, where: str) -> str:
    """The name in one specification: 'Name', {'Name': arguments} or {'name': 'Name', 'arguments': ...}."""
    if isinstance(spec, str) and spec.strip():
        return spec
    if isinstance(spec, dict):
        if isinstance(spec.get("name"), str) and spec.keys() <= {"name", "arguments"}:
            return str(spec["name"])
        if len(spec) == 1 and isinstance(name := next(iter(spec)), str):
            return name
    raise SuiteError(f"{where}: an evaluator is a name, or one name with its arguments, and not {kind_of(spec)}")


def _parse(data: bytes, file: Path) -> object:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SuiteError(f"{file}: line {line} is not UTF-8 text; save the file as UTF-8") from error
    try:
        return json.loads(text) if file.suffix.lower() == ".json" else _parse_yaml(text, file)
    except json.JSONDecodeError as error:
        raise SuiteError(f"{file}: line {error.lineno} does not parse as JSON: {error.msg}") from error
    except ValueError as error:  # numbers of thousands of digits; dates that do not exist
        raise _unparsed(error, text, file) from error
    except RecursionError as error:
        raise SuiteError(f"{file} does not parse: it is nested too deeply") from error


def _parse_yaml(text: str, file: Path) -> object:
    import yaml  # here, because a suite in JSON has no use for it

    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}" if mark else "the file"
        raise SuiteError(f"{file}: {where} does not parse as YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:  # characters YAML does not allow
        raise _unparsed(error, text, file) from error


def _unparsed(error: Exception, text: str, file: Path) -> SuiteError:
    return SuiteError(f"{file}{_line_of(error, text)} does not parse: {' '.join(str(error).split())}")


def _line_of(error: Exception, text: str) -> str:
    """': line N' for an error of YAML's reader, which knows its character only."""
    position = getattr(error, "position", None)
    return f": line {text.count(chr(10), 0, position) + 1}" if isinstance(position, int) else ""


def kind_of(value: object) -> str:
    """What `value` is, in the words of someone who writes YAML."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return "empty"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    shown = re.sub(r"\s+", " ", str(value))[:40]
    return f"the text {shown!r}" if isinstance(value, str) else f"the {type(value).__name__} {shown}"


def form_of(value: object) -> str:
    """What kind of thing `value` is, without what it holds: the same words for all that are alike."""
    match value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text" if value.strip() else "an empty text"
        case None:
            return "nothing"
        case _:
            return f"a {type(value).__name__}"
