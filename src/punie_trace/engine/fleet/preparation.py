"""Before a generator begins: whether what it needs is there, and whether it is the same as the runner has."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from collections.abc import Mapping
from pathlib import Path

from punie_trace.agent.asker import AgentSource
from punie_trace.agent.workspace import Workspace
from punie_trace.engine.askers import check_source
from punie_trace.engine.experiment import Experiment
from punie_trace.engine.fleet.messages import Assignment, Hello, Prepared
from punie_trace.engine.plan import Plan
from punie_trace.errors import ConfigurationError, PunieTraceError
from punie_trace.suite.load import sample_workspace

_ABSENT = "not there"


def prepare(assignment: Assignment) -> Prepared:
    """Whether the assignment can be done in this process: the agents are there, and the workspace."""
    plan = assignment.plan
    try:
        for configuration in plan.configurations:
            check_source(configuration.path, configuration.agent, configuration.tools)
        if not assignment.files:
            Workspace(workspace_root(plan.experiment))
        return Prepared(digests=digests_of(plan) if assignment.digests else {})
    except PunieTraceError as error:
        return Prepared(problem=str(error))
    except Exception as error:
        return Prepared(problem=f"{type(error).__name__}: {error}")


def workspace_root(experiment: Experiment) -> Path:
    """The folder that the tools read, where it was not made for the run."""
    return Path(experiment.workspace).expanduser() if experiment.workspace else sample_workspace()


def digests_of(plan: Plan) -> dict[str, str]:
    """SHA-256 of what this host has of the plan's workspace and agents, by what it is of."""
    found = {"workspace": _of_folder(workspace_root(plan.experiment))}
    for source in {configuration.agent.shown: configuration.agent for configuration in plan.configurations}.values():
        if (file := _file_of(source)) is not None:
            found[f"agent {source.shown}"] = _of_file(file)
        elif source.shown is not None:
            found[f"agent {source.shown}"] = _ABSENT
    return found


def check_same(hello: Hello, versions: Mapping[str, str], theirs: Mapping[str, str], ours: Mapping[str, str]) -> None:
    """Raises `ConfigurationError` where a host has other versions, another workspace or another agent than we have."""
    other = [
        f"{name} {hello.versions.get(name, 'none')} (here {version})"
        for name, version in versions.items()
        if hello.versions.get(name) != version
    ]
    if other:
        raise ConfigurationError(
            f"generator on {hello.host} has other versions: {', '.join(other)}. Install the same there: what they "
            "measure could not be told from what the versions do"
        )
    changed = [name for name, digest in ours.items() if theirs.get(name) != digest]
    if changed:
        raise ConfigurationError(
            f"generator on {hello.host} has another {' and another '.join(changed)} than this host: bring both to the "
            'same state, or send yours along ([fleet] runtime_env = {working_dir = "."})'
        )


def _file_of(source: AgentSource) -> Path | None:
    """The file that an agent is in: its module's, or the program's."""
    if source.program:
        found = shutil.which(source.program[0])
        return Path(found) if found else None
    if source.reference is None:
        return None
    module = source.reference.rpartition(":")[0]
    if module.endswith(".py"):
        return Path(module)
    spec = importlib.util.find_spec(module)
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def _of_file(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return _ABSENT


def _of_folder(root: Path) -> str:
    """Over the names and contents of what tools can read."""
    digest = hashlib.sha256()
    workspace = Workspace(root)
    for name in workspace.files():
        digest.update(f"{name}\0{_of_file(workspace.root / name)}\n".encode())
    return digest.hexdigest()
