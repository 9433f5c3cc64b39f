"""Load a suite: a pydantic-evals `Dataset` file, as people have it, into queries.

It reads what is asked and what a case's metadata says of what is right. Which evaluators judge a case is noted, and
they are made and run elsewhere (`evaluators`, `judging`). This module judges no answer and never imports or runs what
is in a workspace.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from punie_trace.errors import SuiteError, nearest
from punie_trace.records import Query
from punie_trace.suite.dataset_file import (
    SUFFIXES,
    cases_of,
    evaluator_name,
    evaluators_of,
    kind_of,
    read_dataset,
)
from punie_trace.suite.facts import FactsReader

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Suite:
    """Queries in the order of their file. `digest` is the SHA-256 of the file's bytes, in hex."""

    name: str
    queries: tuple[Query, ...]
    digest: str
    source: Path | None = None
    """The file, where it is one of the user's; None for a shipped suite."""
    notes: tuple[str, ...] = ()
    """What of the file was left aside, and why."""
    dataset: Mapping[str, object] = field(default_factory=dict)
    """What the file holds, where evaluators judge any of it; else empty."""


def sample_workspace() -> Path:
    """The folder of the shipped sample code base, which the shipped suites ask about."""
    return _HERE / "workspace"


def shipped_suites() -> dict[str, str]:
    """Name of each shipped suite and one line that says what it is (the comment at the top of its file)."""
    return {name: _description(file) for name, file in _shipped_files().items()}


def load_suite(name_or_path: str) -> Suite:
    """The shipped suite of that name, or the pydantic-evals dataset in that file (YAML, or JSON where it ends so).

    `inputs` is a text, or a list of texts: the turns of a session, of which `metadata['turns']` may say what is right.
    Cases without a name are called `case-1`, `case-2`, ... by their place in the file. Of a case's metadata,
    `category`, `expected`, `tools`, `arguments_contain` and `answer_contains` are read where they have the form that
    they have here; in any other form, as all other keys, they are the user's own, and `notes` says so. Where there is
    `workspace: copy`, whoever answers is given a copy of the workspace.

    Raises `SuiteError` for an unknown name; a file that is absent, cannot be read, does not parse, or holds no cases;
    inputs that are neither a text nor a list of texts; a list of `turns` in the metadata that is longer or shorter than
    the session; evaluators that are no list of names; two cases of one name; metadata that contradicts itself.
    """
    shipped = _shipped_files()
    if name_or_path in shipped:
        file, source = shipped[name_or_path], None
    else:
        file = source = Path(name_or_path)
        if not _names_a_file(name_or_path, file):
            raise SuiteError(
                f"there is no suite {name_or_path!r}; give the name of a shipped one, or the path of a pydantic-evals "
                f"dataset ({', '.join(SUFFIXES)}); {nearest(name_or_path, shipped)}"
            )
    try:
        data = file.read_bytes()
    except FileNotFoundError as error:
        raise SuiteError(f"there is no suite file {str(file)!r}; check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = "it is a folder" if isinstance(error, IsADirectoryError) else getattr(error, "strerror", None) or error
        raise SuiteError(f"cannot read the suite file {str(file)!r}: {reason}; give a file that can be read") from error

    dataset = read_dataset(data, file)
    shared = [evaluator_name(spec, str(file)) for spec in evaluators_of(dataset, str(file))]
    reader = _CaseReader(file, tuple(shared))
    queries = tuple(reader.query(case, number) for number, case in enumerate(cases_of(dataset), start=1))
    _refuse_duplicates(queries, file)
    if dataset.get("report_evaluators"):
        reader.notes.append("'report_evaluators' judge whole reports of pydantic-evals: they are not run")
    evaluated = any(query.evaluators for query in queries)
    return Suite(
        name=file.stem,
        queries=queries,
        digest=hashlib.sha256(data).hexdigest(),
        source=source,
        notes=(*reader.facts.notes(), *reader.notes),
        dataset=dataset if evaluated else {},
    )


def _shipped_files() -> dict[str, Path]:
    return {file.stem: file for file in sorted((_HERE / "data").glob("*.yaml"))}


def _description(file: Path) -> str:
    first = file.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").rstrip() if first.startswith("#") else ""


def _names_a_file(text: str, file: Path) -> bool:
    if not text.strip():
        return False
    try:
        return "/" in text or "\\" in text or file.suffix.lower() in SUFFIXES or file.exists()
    except (OSError, ValueError):  # too long or unfit to be a path
        return False


@dataclass(slots=True)
class _CaseReader:
    """Reads the cases of one file."""

    file: Path
    shared: tuple[str, ...]
    facts: FactsReader = field(default_factory=FactsReader)
    notes: list[str] = field(default_factory=list)

    def query(self, case: object, number: int) -> Query:
        where = f"{self.file}: case {number}"
        if not isinstance(case, dict):
            raise SuiteError(f"{where} must be a mapping with 'inputs', and it is {kind_of(case)}")
        name = case.get("name")
        if name is None:
            name = f"case-{number}"
        elif not isinstance(name, str) or not name.strip():
            raise SuiteError(f"{where}: 'name' must be text, and it is {kind_of(name)}; put it in quotes")
        else:
            where = f"{self.file}: case {name!r}"
        if "inputs" not in case:
            raise SuiteError(f"{where} has no 'inputs'; they are what the user asks")
        texts = _texts(case["inputs"], where)
        if not _is_unicode(name + "".join(texts)):
            raise SuiteError(f"{where}: its name or 'inputs' hold half of a surrogate pair; write the character itself")
        own = [evaluator_name(spec, where) for spec in evaluators_of(case, where)]
        given = case.get("metadata")
        metadata = given if isinstance(given, dict) else {}
        facts = self.facts.turn("", metadata, name, where)
        return Query(
            name=name,
            text="\n".join(texts),
            expected=facts.expected,
            tools=facts.tools,
            arguments_contain=facts.arguments_contain,
            answer_contains=facts.answer_contains,
            category=self.facts.text(metadata, "category", name),
            copies_workspace=metadata.get("workspace") == "copy",
            evaluators=(*own, *self.shared),
            turns=self.facts.turns(texts, metadata, name, where) if isinstance(case["inputs"], list) else (),
        )


def _texts(inputs: object, where: str) -> list[str]:
    """What the user says: one text, or those of a session's turns. Raises `SuiteError` for anything else."""
    if isinstance(inputs, list):
        if not inputs:
            raise SuiteError(f"{where}: 'inputs' is an empty list; give what the user says in each turn")
        for number, text in enumerate(inputs, start=1):
            if not isinstance(text, str) or not text.strip():
                raise SuiteError(
                    f"{where}: turn {number} of 'inputs' must be text (what the user says), and it is {kind_of(text)}"
                )
        return inputs
    if not isinstance(inputs, str) or not inputs.strip():
        raise SuiteError(
            f"{where}: 'inputs' must be text (what the user asks) or a list of texts (the turns of a conversation), "
            f"and it is {kind_of(inputs)}"
        )
    return [inputs]


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
