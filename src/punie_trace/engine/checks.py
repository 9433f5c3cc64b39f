"""What `punie-trace doctor` looks at on this machine: BLAS, device, memory, disk, model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

import psutil

from punie_trace.errors import ConfigurationError, ModelError
from punie_trace.proxy_routes import proxy_variables, route_to
from punie_trace.report.units import memory
from punie_trace.servers.blas import blas_advice, variables_for
from punie_trace.servers.models import is_hub_id, local_folder, weight_files

State: TypeAlias = Literal["ok", "note", "bad"]
"""'note' is no hindrance: something is absent that one can do without."""

_LITTLE_MEMORY: Final = 2 * 2**30
_LITTLE_DISK: Final = 2**30
_COMPUTE_S: Final = 60.0
# MLX is asked in a process of its own, as servers are: with the BLAS that they get.
_ASK_MLX: Final = """
import json, os
import mlx.core as mx
a = mx.ones((64, 64)); mx.eval(a @ a)
from punie_trace.servers.blas import mapped_blas
print(json.dumps({"device": str(mx.default_device()), "version": mx.__version__, "blas": mapped_blas(os.getpid())}))
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's: what was found and, where that is not as it should be, what to do."""

    name: str
    state: State
    found: str
    do: str | None = None


def machine_checks(model: str | None, runs: Path) -> Iterator[Check]:
    """All that needs no collector; `model` as for `run --model`, `runs` is where runs would be written."""
    yield from compute_checks()
    yield memory_check(psutil.virtual_memory().available, psutil.virtual_memory().total)
    yield disk_check(runs)
    yield model_check(model)
    yield from network_checks(os.environ)


def compute_checks() -> Iterator[Check]:
    """MLX's device, and the BLAS that servers will compute with."""
    environment = {**os.environ, **variables_for(os.environ)}
    command = [sys.executable, "-c", _ASK_MLX]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_COMPUTE_S, check=False, env=environment)
        answer = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
        problem = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        answer, problem = None, str(error)
    if answer is None:
        yield Check("MLX", "bad", f"cannot compute: {problem}", "reinstall it: uv sync --reinstall-package mlx")
        return
    yield Check("MLX", "ok", f"{answer['version']} on {answer['device']}")
    blas = answer["blas"]
    advice = blas_advice(blas)
    yield Check("BLAS", "ok" if advice is None else "note", blas or "not observable", advice)


def network_checks(environ: Mapping[str, str]) -> Iterator[Check]:
    """How servers and collectors are reached from here: the one decision that probe, queries and telemetry share."""
    variables = proxy_variables(environ)
    shown = "".join(f", {name}={value}" for name, value in variables.items() if "no_proxy" in name.lower())
    for scheme in ("http", "https"):
        try:
            route = route_to(f"{scheme}://another-host.example", environ)
            route.certificates(environ)
        except ConfigurationError as error:
            yield Check(f"{scheme} servers", "bad", "cannot be reached", str(error))
        else:
            yield Check(f"{scheme} servers", "ok", f"{route.describe()}{shown}; on loopback directly")


def memory_check(available: int, total: int) -> Check:
    """Whether a small server fits; bytes."""
    found = f"{memory(available)} of {memory(total)} free"
    if available < _LITTLE_MEMORY:
        return Check("memory", "note", found, "close something: a server of the shipped model takes 0.3 GiB")
    return Check("memory", "ok", found)


def disk_check(runs: Path) -> Check:
    """Room and permission to write runs; the nearest folder above that exists counts."""
    folder = runs.absolute()
    while not folder.exists():
        folder = folder.parent
    free = psutil.disk_usage(str(folder)).free
    if not os.access(folder, os.W_OK):
        return Check("disk", "bad", f"{folder} cannot be written", "go to another folder, or give one with --out")
    if free < _LITTLE_DISK:
        return Check("disk", "note", f"{memory(free)} free in {folder}", "make room: a long run writes some 100 MiB")
    return Check("disk", "ok", f"{memory(free)} free in {folder}")


def model_check(model: str | None) -> Check:
    """Whether the model is there: the shipped one where `model` is None."""
    if model is None:
        from punie_trace.models import shipped_model

        try:
            target, _ = shipped_model()
        except ModelError as error:
            return Check("model", "bad", "the shipped model is not usable", str(error))
        return Check("model", "ok", f"the shipped one, in {target}")
    folder = local_folder(model)
    if folder is not None and weight_files(folder):
        size = sum(file.stat().st_size for file in weight_files(folder))
        return Check("model", "ok", f"{memory(size)} of weights in {folder}")
    if is_hub_id(model):
        do = f"the server will download it; to do that now: hf download {model}"
        return Check("model", "note", f"{model} is not in the hub cache", do)
    return Check("model", "bad", f"{model} holds no weights", "give the folder of an MLX model, or its name on the hub")


def next_thing(checks: Sequence[Check], run: str) -> str:
    """The gravest thing to do, else the run that all this is for."""
    bad = next((check for check in checks if check.state == "bad"), None)
    if bad is None:
        return run
    return f"{bad.name}: {bad.do or bad.found}"
