"""What is asked, and about which code base: a suite and a workspace that are there, or both made for this run.

`fresh`, or `fresh:200`, are questions never asked before about a code base never seen before, made by the experiment's
seed; `fresh-multi-tool:40` are such that take two to six calls. That code base is written into the run's folder, where
the tools read it and a reader of the run finds it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from punie_trace.agent.workspace import Workspace
from punie_trace.engine.experiment import Experiment
from punie_trace.engine.quick import few_of, short_of
from punie_trace.errors import ConfigurationError, RunFolderError, SuiteError
from punie_trace.runs.reader import WORKSPACE_FOLDER
from punie_trace.suite.load import Suite, load_suite, sample_workspace

FRESH: Final = "fresh"
FRESH_MULTI_TOOL: Final = "fresh-multi-tool"
FRESH_COUNT: Final = 60
"""How many questions `fresh` asks where it names no number."""
OWN: Final = ""
"""What queries call the code base that the run is about; others have names."""
JOINED: Final = "+"


@dataclass(frozen=True, slots=True)
class Questions:
    """A suite, and the code base that it asks about: a folder that is there, or `files` to be written (by path).

    `others` are the files of further code bases, by the names that queries have for them.
    """

    suite: Suite
    workspace: Workspace | None
    files: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    of: int = 0
    """How many questions there are, of which the suite here may hold a few."""

    def workspaces_in(self, run_folder: Path) -> dict[str, Workspace]:
        """The workspaces; those that were made for this run are written below its folder. Raises `RunFolderError`."""
        own = self.workspace or _written(self.files, run_folder / WORKSPACE_FOLDER)
        others = {
            name: _written(files, run_folder / f"{WORKSPACE_FOLDER}{name}") for name, files in self.others.items()
        }
        return {OWN: own, **others}


def _written(files: Mapping[str, str], root: Path) -> Workspace:
    try:
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"{root}: cannot be written ({error.strerror or error})") from error
    return Workspace(root)


def questions_of(experiment: Experiment) -> Questions:
    """What `experiment` asks. Raises `SuiteError` or `ConfigurationError` for what is not there or cannot be made.

    `a+b` asks both, where one is `fresh`: what it asks is asked in one round, since only first asks count. The default
    run is such a one. A quick look asks a few, of fresh ones where there are any: they take the least time.
    """
    questions = _all_of(experiment)
    if not experiment.quick:
        return questions
    queries = questions.suite.queries
    few = few_of([query for query in queries if query.once] or queries)
    return replace(questions, suite=replace(questions.suite, queries=few), of=len(queries))


def _all_of(experiment: Experiment) -> Questions:
    name = str(experiment.suite)
    if Path(name).is_file():
        return _in_files(experiment, name)
    first, joined, second = name.partition(JOINED)
    if joined and _is_fresh(second) and not _is_fresh(first):
        return _joined(name, _in_files(experiment, first), _fresh(experiment, second))
    if _is_fresh(name):
        if experiment.workspace is not None:
            raise ConfigurationError(
                f"the suite {name!r} asks about a code base that is made with it: leave the workspace out"
            )
        return _fresh(experiment, name)
    return _in_files(experiment, name)


def _is_fresh(name: str) -> bool:
    return name.partition(":")[0] in (FRESH, FRESH_MULTI_TOOL)


def _in_files(experiment: Experiment, name: str) -> Questions:
    root = Path(experiment.workspace).expanduser() if experiment.workspace else sample_workspace()
    return Questions(load_suite(name), Workspace(root, allow_secrets=experiment.allow_secrets))


def _fresh(experiment: Experiment, name: str) -> Questions:
    kind, colon, number = name.partition(":")
    if colon and not (number.isascii() and number.isdigit() and len(number) < 6):
        raise SuiteError(f"the suite {name!r} names no number of questions; write {kind}:{FRESH_COUNT}, or {kind}")
    from punie_trace.suite.fresh.multi_tool import make_fresh_multi_tool
    from punie_trace.suite.fresh.questions import make_fresh

    make = make_fresh if kind == FRESH else make_fresh_multi_tool
    fresh = make(int(number) if colon else FRESH_COUNT, experiment.seed)
    return Questions(Suite(name, fresh.queries, fresh.digest), None, fresh.files)


def _joined(name: str, known: Questions, fresh: Questions) -> Questions:
    """Both suites as one. Names of fresh questions are told apart from those that are there.

    The first is a fresh one that needs no tool, if there is one, for the warm-up: so those of the suite that is there
    are all first asks.
    """
    workspace = f"-{FRESH}"
    new = [
        replace(query, name=f"{FRESH}-{query.name}", workspace=workspace, once=True) for query in fresh.suite.queries
    ]
    digest = hashlib.sha256(f"{known.suite.digest} {fresh.suite.digest}".encode()).hexdigest()
    short = short_of(new)
    rest = [query for query in new if query is not short]
    queries = (*([short] if short else []), *known.suite.queries, *rest)
    suite = replace(known.suite, name=name, queries=queries, digest=digest)
    return replace(known, suite=suite, others={workspace: fresh.files})
