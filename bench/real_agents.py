"""Coding agents that no one here wrote, as programs through the recording proxy: are all generations there, and when?

Each agent is run as it comes from npm or PyPI, with the settings that `examples/program/README.md` has for it, word for
word. `scripted`: a server that has the agent write a file and then end, and writes down what it was asked and when.
`shipped`: the model of the package on our own server, whose spans are the truth; it answers nonsense, at most
`--max-tokens` of it, so that what counts is what was seen. The model says that it takes longer texts than it was made
for, as agents begin with more than it was; that costs it nothing but sense.

For each agent: how many generations the server answered and how many were seen, with tokens; whether every query's
ledger closes and holds exactly the time of its generations; whether a process was left; and by how much longer a
generation was for the proxy than for the server (median and largest, ms; the aim is 1 ms at the median).

    uv run python bench/real_agents.py opencode=$(which opencode) pi=$(which pi) [--server shipped] [--rounds 2]
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from punie_trace.models import shipped_model
from punie_trace.runs.reader import RunRecord, read_run
from punie_trace.spans import names
from punie_trace.spans.span import Span

README = Path(__file__).parents[1] / "examples/program/README.md"
QUESTION = "Write a file hello.txt that holds the word hello, then say done."
CONTEXT = 131_072
OUTPUT_LIMIT = "1024"
"""In the read-me's settings, where an agent wants to be told."""
WRITE = "printf hello > hello.txt"
CALLS: dict[str, tuple[str, dict[str, object]]] = {
    "opencode": ("bash", {"command": WRITE, "description": "Writes the file"}),
    "pi": ("bash", {"command": WRITE}),
    "mini-swe-agent": ("bash", {"command": WRITE}),
    "qwen-code": ("run_shell_command", {"command": WRITE, "is_background": False}),
    "codex": ("exec_command", {"cmd": WRITE}),
    "kimi-cli": ("Shell", {"command": WRITE}),
}
"""The tool of each agent that runs a command."""
LAST_CALLS: dict[str, tuple[str, dict[str, object]]] = {
    "mini-swe-agent": ("bash", {"command": "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"})
}
"""Where an agent ends by a call, and not by a text."""
TEXTS = {"aider": "hello.txt\n```\nhello\n```\n"}
"""Where an agent has no tools: what writes the file."""
ENDLESS = {"mini-swe-agent": ("-c", "mini.yaml", "-c", "agent.step_limit=3")}
"""Arguments for agents that ask a model on and on which gives them no call."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one agent's run came to."""

    answered: int
    """Generations that the server answered, by its own word."""
    seen: int
    with_tokens: int
    verdicts: str
    closed: int
    queries: int
    left: int
    longer_ms: tuple[float, ...]

    def row(self, name: str) -> str:
        median = f"{statistics.median(self.longer_ms):.2f}" if self.longer_ms else "-"
        largest = f"{max(self.longer_ms):.2f}" if self.longer_ms else "-"
        return (
            f"{name:16}{self.answered:>9}{self.seen:>6}{self.with_tokens:>12}{f'{self.closed}/{self.queries}':>9}"
            f"{self.left:>6}{median:>9}{largest:>9}  {self.verdicts}"
        )


def settings_of(agent: str, program: str, max_tokens: int) -> dict[str, Any]:
    """`[agent]` as the read-me has it, with the program's own path."""
    found = re.search(rf"```toml\n(\[agent\] # {re.escape(agent)}:.*?)```", README.read_text("utf-8"), re.DOTALL)
    if found is None:
        raise SystemExit(f"{README} has no settings for {agent!r}")
    settings = tomllib.loads(found[1].replace(OUTPUT_LIMIT, str(max_tokens)))["agent"]
    settings["program"][0] = program
    return settings


def script_for(agent: str) -> dict[str, object]:
    def reply(call: tuple[str, dict[str, object]] | None, text: str) -> dict[str, object]:
        if call is None:
            return {"steps": [{"do": "text", "text": text, "delay_s": 0.05}]}
        return {"steps": [{"do": "tool_call", "name": call[0], "arguments": call[1], "pieces": 3, "delay_s": 0.05}]}

    first = reply(CALLS.get(agent), TEXTS.get(agent, "done"))
    return {
        "keep_alive": True,
        "rules": [{"turn": 0, "reply": first}],
        "replies": [reply(LAST_CALLS.get(agent), "done")],
    }


def configuration(folder: Path, server: str, max_tokens: int) -> dict[str, object]:
    if server == "scripted":
        command = [sys.executable, "-m", "punie_trace.testing", "--port", "{port}"]
        command += ["--script", str(folder / "script.json"), "--record", str(folder / "truth.jsonl")]
        return {"kind": "command", "command": command}
    shutil.copytree(shipped_model()[0], folder / "model", dirs_exist_ok=True)
    config = folder / "model" / "config.json"
    config.chmod(0o644)
    config.write_text(json.dumps({**json.loads(config.read_text()), "max_position_embeddings": CONTEXT}))
    return {"kind": "punie", "model_path": str(folder / "model"), "max_tokens": max_tokens}


def measured(folder: Path, agent: str, program: str, given: argparse.Namespace) -> Found:
    workspace = folder / "workspace"
    workspace.mkdir()
    (workspace / "README.md").write_text("A small project.\n")
    (folder / "script.json").write_text(json.dumps(script_for(agent)))
    case = {"name": "hello", "inputs": QUESTION, "metadata": {"workspace": "copy"}}
    case["evaluators"] = [{"command": ["grep", "-q", "hello", "hello.txt"]}]
    (folder / "suite.json").write_text(json.dumps({"name": "write-a-file", "cases": [case]}))
    settings = settings_of(agent, program, given.max_tokens)
    if given.server == "shipped":
        settings["program"] += ENDLESS.get(agent, ())
    experiment = {
        "suite": str(folder / "suite.json"),
        "workspace": str(workspace),
        "rounds": given.rounds,
        "warm_up": 0,
        "agent": {**settings, "query_timeout_s": given.limit_s},
        "configurations": {given.server: configuration(folder, given.server, given.max_tokens)},
    }
    (folder / "punie-trace.toml").write_text(_toml(experiment))
    command = [sys.executable, "-m", "punie_trace", "run", "--config", str(folder / "punie-trace.toml")]
    command += ["--out", str(folder / "run"), "--otlp", "off", "--plain"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{agent}: ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return looked_at(read_run(folder / "run"), folder / "truth.jsonl")


def looked_at(run: RunRecord, truth: Path) -> Found:
    posts = [one for one in run.spans if one.name == names.SPAN_POST]
    servers: dict[str, tuple[int, int | None]] = {}
    """When the server had read a request and when it had answered, by the span that sent it."""
    if truth.exists():
        for one in map(json.loads, truth.read_text().splitlines()):
            if one["kind"] != "probe":
                parent = str(one["traceparent"]).split("-")[2] if one["traceparent"] else f"none {one['id']}"
                servers[parent] = (one["body_ns"], one["done_ns"])
    else:
        servers = {
            str(one.parent_id): (one.start_ns, one.end_ns)
            for one in run.spans
            if one.name.startswith(names.SPAN_SERVER)
        }
    longer = [
        (post.end_ns - post.start_ns - (done - began)) / 1e6
        for post in posts
        if post.error is None and (found := servers.get(post.span_id)) and (done := found[1]) and (began := found[0])
    ]
    queries = [one for one in run.spans if names.LEDGER_WALL in one.attributes]
    verdicts = [str(one.verdict) for one in run.outcomes]
    return Found(
        answered=len(servers),
        seen=len(posts),
        with_tokens=sum(names.GEN_AI_OUTPUT_TOKENS in one.attributes for one in posts),
        verdicts=", ".join(f"{verdicts.count(one)} {one}" for one in sorted(set(verdicts))),
        closed=sum(closes(one, [post for post in posts if post.trace_id == one.trace_id]) for one in queries),
        queries=len(queries),
        left=len(left_running()),
        longer_ms=tuple(longer),
    )


def closes(query: Span, posts: list[Span]) -> bool:
    """Whether the query's lines add up to its time, and hold exactly what its generations' spans do."""
    lines = (names.LEDGER_CLIENT_QUEUE, names.LEDGER_GENERATION, names.LEDGER_TOOL, names.LEDGER_FRAMEWORK)
    total, generation, open_until = 0, 0, 0
    for post in sorted(posts, key=lambda one: one.start_ns):
        end = min(post.end_ns, query.end_ns)
        generation += max(0, end - max(post.start_ns, open_until))
        open_until = max(open_until, end)
    total = sum(int(str(query.attributes[line])) for line in lines)
    wall = int(str(query.attributes[names.LEDGER_WALL]))
    return total == wall == query.end_ns - query.start_ns and generation == int(str(query.attributes[lines[1]]))


def left_running() -> list[str]:
    """Processes of this machine that still have a query's own address, where /proc tells."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if re.search(rb"OPENAI_BASE_URL=http://127\.0\.0\.1:\d+/q/", path.read_bytes()):
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def _toml(values: dict[str, Any]) -> str:
    """Strings, numbers, lists and tables; JSON's strings are TOML's as well."""
    plain = "".join(f"{key} = {_value(value)}\n" for key, value in values.items() if not isinstance(value, dict))
    for key, value in values.items():
        if isinstance(value, dict):
            plain += "".join(f"{key}.{json.dumps(name)} = {_value(one)}\n" for name, one in value.items())
    return plain


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "agents", nargs="+", metavar="NAME=PROGRAM", help="as the read-me names them, and where they are"
    )
    parser.add_argument("--server", choices=("scripted", "shipped"), default="scripted")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--max-tokens", type=int, default=64, help="of an answer, where the agent lets the server say")
    parser.add_argument("--limit-s", type=float, default=300.0, help="for a query")
    parser.add_argument("--keep", type=Path, help="keep configurations and runs in this folder")
    given = parser.parse_args()
    print(f"{'':16}{'answered':>9}{'seen':>6}{'with tokens':>12}{'closed':>9}{'left':>6}{'median':>9}{'largest':>9}")
    for one in given.agents:
        agent, _, program = one.partition("=")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) if given.keep is None else (given.keep / agent)
            folder.mkdir(parents=True, exist_ok=given.keep is None)
            print(measured(folder, agent, program or agent, given).row(agent), flush=True)


if __name__ == "__main__":
    main()
