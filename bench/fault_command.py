"""What the rows of `faults` share: a run of the command line against a scripted server, and how it ended."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from punie_trace.testing import Reply, Rule, Script, Text, ToolCall

Tries = Iterator[tuple[str, str | None]]
SUITE = """cases:
- name: find
  inputs: Where is IsLibrarian defined?
  metadata: {tools: [find_definition], answer_contains: [permissions]}
- name: rest
  inputs: What is REST?
  metadata: {expected: direct}
"""
CALL = Reply(steps=(ToolCall(name="find_definition", arguments={"name": "IsLibrarian"}),))
FOUND = Reply(steps=(Text(text="It is in accounts/permissions.py."),))
RULES = (
    Rule(contains="IsLibrarian", turn=0, reply=CALL),
    Rule(contains="IsLibrarian", turn=1, reply=FOUND),
    Rule(contains="REST", reply=Reply(steps=(Text(text="A style."),))),
)
GOOD = Script(rules=RULES)
SLOW = Script(rules=(Rule(contains="", reply=Reply(steps=(Text(text="a", delay_s=0.2), Text(text="b", delay_s=0.2)))),))


@dataclass
class Done:
    """What came of a command."""

    code: int
    out: str
    error: str
    seconds: float
    folder: Path

    @property
    def text(self) -> str:
        return self.out + self.error

    def wrong(self, *codes: int, says: str = "", within_s: float = 60.0) -> str | None:
        """What is not as it should be."""
        ours = self.text.partition("Its last output:")[0]  # what follows is the server's own
        if "Traceback" in ours:
            return f"a traceback: {self.text[-600:]}"
        if self.code not in codes:
            return f"exit code {self.code}, not {codes}: {self.text[-400:]}"
        if says and says not in " ".join(self.text.split()):
            return f"it does not say {says!r}: {self.text[-400:]}"
        return f"it took {self.seconds:.0f} s" if self.seconds > within_s else None


def program(script: Script, folder: Path, name: str = "script") -> str:
    """The TOML lines of a configuration whose server follows `script`."""
    file = folder / f"{name}.json"
    file.write_text(script.model_dump_json())
    command = [sys.executable, "-m", "punie_trace.testing", "--port", "{port}", "--script", str(file)]
    quiet = 'environment = { PYDANTIC_DISABLE_PLUGINS = "__all__" }\n'
    return f'kind = "command"\ncommand = {json.dumps(command)}\n{quiet}'


def argv(folder: Path, toml: str, *flags: str) -> list[str]:
    """A run on the `http` path, with a folder of its own."""
    place = Path(tempfile.mkdtemp(dir=folder))
    (place / "suite.yaml").write_text(SUITE)
    (place / "punie.toml").write_text(f'path = "http"\nwarm_up = 0\nstop_timeout_s = 3\n{toml}')
    given = ["--config", str(place / "punie.toml"), "--suite", str(place / "suite.yaml"), "--out", str(place / "run")]
    otlp = [] if "--otlp" in flags else ["--otlp", "off"]
    rounds = [] if "--rounds" in flags else ["--rounds", "1"]
    return [sys.executable, "-m", "punie_trace", "run", *given, *otlp, *rounds, "--plain", *flags]


def run(command: Sequence[str], within_s: float = 60.0, **options: Any) -> Done:
    """Run it to its end, or kill it after `within_s`."""
    begun = time.monotonic()
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
    process = subprocess.Popen(command, text=True, errors="replace", **options)
    try:
        out, error = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, error = process.communicate()
        error = f"{error or ''}\nIT HUNG"
    folder = Path(command[command.index("--out") + 1]) if "--out" in command else Path()
    return Done(process.returncode, out or "", error or "", time.monotonic() - begun, folder)


def configuration(lines: str, name: str = "baseline") -> str:
    return f"[configurations.{name}]\n{lines}"


def url(address: str, more: str = "") -> str:
    return configuration(f'kind = "url"\nurl = "{address}"\n{more}')
