"""Load a suite: a pydantic-evals `Dataset` file, as people have it, into queries.

It reads the file itself instead of through `Dataset.from_file`, for two reasons: evaluators of one's own, which
`from_file` refuses without their classes, must not keep a dataset from loading; and pydantic-evals takes seconds to
import. Evaluators, expected outputs and unknown keys are therefore ignored. This module judges no answer (`check`
does) and never imports or runs what is in the sample workspace.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from punie_trace.errors import SuiteError, nearest
from punie_trace.records import Expectation, Query

_HERE = Path(__file__).resolve().parent
_SUFFIXES = (".yaml", ".yml", ".json")
_EXPECTATIONS: dict[str, Expectation] = {"tool": "tool", "direct": "direct"}


@dataclass(frozen=True, slots=True)
class Suite:
    """Queries in the order of their file. `digest` is the SHA-256 of the file's bytes, in hex."""

    name: str
    queries: tuple[Query, ...]
    digest: str
    source: Path | None = None
    """The file, where it is one of the user's; None for a shipped suite."""


def sample_workspace() -> Path:
    """The folder of the shipped sample code base, which the shipped suites ask about."""
    return _HERE / "workspace"


def shipped_suites() -> dict[str, str]:
    """Name of each shipped suite and one line that says what it is (the comment at the top of its file)."""
    return {name: _description(file) for name, file in _shipped_files().items()}


def load_suite(name_or_path: str) -> Suite:
    """The shipped suite of that name, or the pydantic-evals dataset in that file (YAML, or JSON where it ends so).

    Cases without a name are called `case-1`, `case-2`, ... by their place in the file. Of a case's metadata,
    `category`, `expected`, `tools`, `arguments_contain` and `answer_contains` are read and must have the right types;
    other keys are the user's own. Metadata that is no mapping at all is the user's own too: nothing is judged then.
    Evaluators are ignored.

    Raises `SuiteError` for an unknown name; a file that is absent, cannot be read, does not parse, or holds no cases;
    inputs that are not text; two cases of one name; metadata that is wrong or contradicts itself.
    """
    shipped = _shipped_files()
    if name_or_path in shipped:
        file, source = shipped[name_or_path], None
    else:
        file = source = Path(name_or_path)
        if not _names_a_file(name_or_path, file):
            raise SuiteError(
                f"there is no suite {name_or_path!r}; give the name of a shipped one, or the path of a pydantic-evals "
                f"dataset ({', '.join(_SUFFIXES)}); {nearest(name_or_path, shipped)}"
            )
    try:
        data = file.read_bytes()
    except FileNotFoundError as error:
        raise SuiteError(f"there is no suite file {str(file)!r}; check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = "it is a folder" if isinstance(error, IsADirectoryError) else getattr(error, "strerror", None) or error
        raise SuiteError(f"cannot read the suite file {str(file)!r}: {reason}; give a file that can be read") from error

    cases = _cases(_parse(data, file), file)
    queries = tuple(_query(case, number, file) for number, case in enumerate(cases, start=1))
    _refuse_duplicates(queries, file)
    return Suite(file.stem, queries, hashlib.sha256(data).hexdigest(), source)


def _shipped_files() -> dict[str, Path]:
    return {file.stem: file for file in sorted((_HERE / "data").glob("*.yaml"))}


def _description(file: Path) -> str:
    first = file.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").rstrip() if first.startswith("#") else ""


def _names_a_file(text: str, file: Path) -> bool:
    if not text.strip():
        return False
    try:
        return "/" in text or "\\" in text or file.suffix.lower() in _SUFFIXES or file.exists()
    except (OSError, ValueError):  # too long or unfit to be a path
        return False


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


def _cases(loaded: object, file: Path) -> list[object]:
    if loaded is None:
        raise SuiteError(f"{file} is empty: it holds no cases; add at least one under 'cases:'")
    if not isinstance(loaded, dict) or "cases" not in loaded:
        raise SuiteError(f"{file} is no pydantic-evals dataset: it needs a list of cases under the key 'cases'")
    cases = loaded["cases"]
    if cases is not None and not isinstance(cases, list):
        raise SuiteError(f"{file}: 'cases' must be a list, and it is {_kind(cases)}")
    if not cases:
        raise SuiteError(f"{file} holds no cases; add at least one under 'cases:'")
    return cases


def _query(case: object, number: int, file: Path) -> Query:
    where = f"{file}: case {number}"
    if not isinstance(case, dict):
        raise SuiteError(f"{where} must be a mapping with 'inputs', and it is {_kind(case)}")
    name = case.get("name")
    if name is None:
        name = f"case-{number}"
    elif not isinstance(name, str) or not name.strip():
        raise SuiteError(f"{where}: 'name' must be text, and it is {_kind(name)}; put it in quotes")
    else:
        where = f"{file}: case {name!r}"
    if "inputs" not in case:
        raise SuiteError(f"{where} has no 'inputs'; they are what the user asks")
    text = case["inputs"]
    if not isinstance(text, str) or not text.strip():
        raise SuiteError(f"{where}: 'inputs' must be text (what the user asks), and it is {_kind(text)}")
    if not _is_unicode(name + text):
        raise SuiteError(f"{where}: its name or 'inputs' hold half of a surrogate pair; write the character itself")
    metadata = case.get("metadata")
    return _judged(name, text, metadata if isinstance(metadata, dict) else {}, where)


def _judged(name: str, text: str, metadata: dict[object, object], where: str) -> Query:
    category = metadata.get("category")
    if category is not None and not isinstance(category, str):
        raise SuiteError(f"{where}: 'category' must be text, and it is {_kind(category)}; put it in quotes")
    query = Query(
        name=name,
        text=text,
        expected=_expected(metadata.get("expected"), where),
        tools=_texts(metadata, "tools", where),
        arguments_contain=_texts(metadata, "arguments_contain", where),
        answer_contains=_texts(metadata, "answer_contains", where),
        category=category,
    )
    if query.expected == "direct" and (query.tools or query.arguments_contain):
        raise SuiteError(
            f"{where} expects a direct answer, and yet says which tools or arguments are right; "
            "remove 'tools' and 'arguments_contain', or set 'expected: tool'"
        )
    return query


def _expected(value: object, where: str) -> Expectation | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise SuiteError(f"{where}: 'expected' must be 'tool' or 'direct', and it is {_kind(value)}")
    if value not in _EXPECTATIONS:
        raise SuiteError(
            f"{where}: 'expected' must be 'tool' or 'direct', and it is {value!r}; {nearest(value, _EXPECTATIONS)}"
        )
    return _EXPECTATIONS[value]


def _texts(metadata: dict[object, object], key: str, where: str) -> tuple[str, ...]:
    value = metadata.get(key)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise SuiteError(f"{where}: {key!r} must be a list of texts, and it is {_kind(value)}; write {key}: [...]")
    texts: list[str] = []
    for item in value:
        if not isinstance(item, str) or not item.strip():
            raise SuiteError(f"{where}: {key!r} must hold texts only, and one is {_kind(item)}; put it in quotes")
        texts.append(item)
    return tuple(texts)


def _refuse_duplicates(queries: tuple[Query, ...], file: Path) -> None:
    seen: set[str] = set()
    for query in queries:
        if query.name in seen:
            raise SuiteError(f"{file}: two cases are called {query.name!r}; give each a name of its own")
        seen.add(query.name)


def _is_unicode(text: str) -> bool:
    """Whether `text` can be sent and written: escapes in JSON and YAML can make text that cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: object) -> str:
    """What `value` is, in the words of someone who writes YAML."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return "empty"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    shown = re.sub(r"\s+", " ", str(value))[:40]
    return f"the text {shown!r}" if isinstance(value, str) else f"the {type(value).__name__} {shown}"
