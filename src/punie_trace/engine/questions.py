"""What is asked, and about which code base: a suite and a workspace that are there, or both made for this run.

`fresh`, or `fresh:200`, are questions never asked before about a code base never seen before, made by the experiment's
seed. That code base is written into the run's folder, where the tools read it and a reader of the run finds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from punie_trace.agent.workspace import Workspace
from punie_trace.engine.experiment import Experiment
from punie_trace.engine.quick import few_of
from punie_trace.errors import ConfigurationError, RunFolderError, SuiteError
from punie_trace.suite.load import Suite, load_suite, sample_workspace

FRESH: Final = "fresh"
FRESH_COUNT: Final = 60
"""How many questions `fresh` asks where it names no number."""
WORKSPACE_FOLDER: Final = "workspace"


@dataclass(frozen=True, slots=True)
class Questions:
    """A suite, and the code base that it asks about: a folder that is there, or `files` to be written (by path)."""

    suite: Suite
    workspace: Workspace | None
    files: Mapping[str, str] = field(default_factory=dict)
    of: int = 0
    """How many questions there are, of which the suite here may hold a few."""

    def workspace_in(self, run_folder: Path) -> Workspace:
        """The workspace, written below the run's folder where it was made for this run. Raises `RunFolderError`."""
        if self.workspace is not None:
            return self.workspace
        root = run_folder / WORKSPACE_FOLDER
        try:
            for name, text in self.files.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise RunFolderError(f"{root}: cannot be written ({error.strerror or error})") from error
        return Workspace(root)


def questions_of(experiment: Experiment) -> Questions:
    """What `experiment` asks. Raises `SuiteError` or `ConfigurationError` for what is not there or cannot be made."""
    questions = _all_of(experiment)
    queries = questions.suite.queries
    asked = few_of(queries) if experiment.quick else queries
    return replace(questions, suite=replace(questions.suite, queries=asked), of=len(queries))


def _all_of(experiment: Experiment) -> Questions:
    name = str(experiment.suite)
    if name.partition(":")[0] == FRESH and not Path(name).is_file():
        return _fresh(experiment, name)
    root = Path(experiment.workspace).expanduser() if experiment.workspace else sample_workspace()
    return Questions(load_suite(name), Workspace(root, allow_secrets=experiment.allow_secrets))


def _fresh(experiment: Experiment, name: str) -> Questions:
    if experiment.workspace is not None:
        raise ConfigurationError(
            f"the suite {name!r} asks about a code base that is made with it: leave the workspace out"
        )
    _, colon, number = name.partition(":")
    if colon and not (number.isascii() and number.isdigit() and len(number) < 6):
        raise SuiteError(f"the suite {name!r} names no number of questions; write {FRESH}:{FRESH_COUNT}, or {FRESH}")
    from punie_trace.suite.fresh.questions import make_fresh

    made = make_fresh(int(number) if colon else FRESH_COUNT, experiment.seed)
    return Questions(Suite(name, made.queries, made.digest), None, made.files)
