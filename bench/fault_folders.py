"""Rows of `faults` about files: damaged run folders, odd workspaces and sources, the page of a hostile run."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.records import Outcome, ToolCall, Verdict
from punie_trace.runs.outcome_line import decode_outcome, encode_outcome

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "tests" / "runs" / "folders"
FILES = ("run.json", "outcomes.jsonl", "spans.jsonl", "conditions.jsonl")
Tries = Iterator[tuple[str, str | None]]
_MANY = """
import sys
from pathlib import Path
from typer.testing import CliRunner
from punie_trace.cli.main import app
for folder in sys.argv[1:]:
    result = CliRunner().invoke(app, ["report", folder, "--format", "json"])
    odd = result.exception is not None and not isinstance(result.exception, SystemExit)
    print(result.exit_code, repr(result.exception)[:300] if odd else "", sep="\\t", flush=True)
"""


def _damaged(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    match chance.randrange(4):
        case 0:
            return data[:place]
        case 1:
            return data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :]
        case 2:
            return data[:place] + chance.randbytes(8) + data[place:]
        case _:
            end = min(len(data), place + chance.randrange(400))
            return data[:end] + data[place:end] + data[end:]


def damaged_folders(folder: Path, chance: random.Random) -> Tries:
    """Truncations, bit flips, insertions and repetitions of every file: reported, or refused in words."""
    places = []
    for number in range(120):
        kept = KEPT / chance.choice(("killed", "done"))
        name = chance.choice([name for name in FILES if (kept / name).is_file()])
        place = Path(shutil.copytree(kept, folder / f"{number}"))
        (place / name).write_bytes(_damaged((place / name).read_bytes(), chance))
        places.append((place, name))
    command = [sys.executable, "-c", _MANY, *(str(place) for place, _ in places)]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stdout.splitlines()
    for (_, name), line in zip(places, [*lines, *["-\tno answer"] * len(places)], strict=False):
        code, _, raised = line.partition("\t")
        # A time that was changed is found out by the ledger, which does not close then.
        right = ("0", "2", "4") if name == "spans.jsonl" else ("0", "2")
        yield f"{name} damaged", raised or (None if code in right else f"exit code {code}")


def odd_folders(folder: Path, _chance: random.Random) -> Tries:
    """Pipes in place of files, JSON nested deeply, absurd years, samples of wrong types, a folder that is a file."""
    deep, header = b"[" * 100_000, (KEPT / "done" / "run.json").read_text()
    year = re.sub(r'"started": "\d{4}', '"started": "9999', header)
    cases: dict[str, tuple[str, bytes | None]] = {
        **{f"a pipe for {name}": (name, None) for name in FILES},
        "a header nested deeply": ("run.json", deep),
        "outcomes nested deeply": ("outcomes.jsonl", deep + b"\n"),
        "spans nested deeply": ("spans.jsonl", deep + b"\n"),
        "an absurd year": ("run.json", year.encode()),
        "samples of wrong types": ("conditions.jsonl", b'{"start_ns": "x", "end_ns": []}\n7\nnull\n"a"\n'),
        "a header of 400 digits": ("run.json", re.sub(r'"seed": \d+', '"seed": ' + "9" * 400, header).encode()),
    }
    places = []
    for number, (name, data) in enumerate(cases.values()):
        place = Path(shutil.copytree(KEPT / "done", folder / f"{number}"))
        (place / name).unlink(missing_ok=True)
        if data is None:
            os.mkfifo(place / name)
        else:
            (place / name).write_bytes(data)
        places.append(place)
    (folder / "file").write_text("no folder")
    command = [sys.executable, "-c", _MANY, *map(str, places), str(folder / "file"), str(folder / "absent")]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stdout.splitlines()
    for what, line in zip([*cases, "a file", "nothing"], [*lines, *["-\tit hung"] * 20], strict=False):
        code, _, raised = line.partition("\t")
        yield what, raised or (None if code in ("0", "2") else f"exit code {code}")


def deep_arguments(_folder: Path, _chance: random.Random) -> Tries:
    """Arguments of a call nested a thousand deep: written, and read again."""
    value: object = 1
    for _ in range(960):
        value = [value]
    call = ToolCall("search_code", {"pattern": value}, ok=True)
    outcome = Outcome(
        seq=0, round=0, configuration="c", query="q", path="http", due_ns=0, sent_ns=0, done_ns=1,
        verdict=Verdict.CORRECT, error=None, trace_id="", answer="", tool_calls=(call,), generations=1,
        input_tokens=None, output_tokens=None, cached_tokens=None, ttft_ns=None, served_model=None,
    )  # fmt: skip
    yield (
        "960 deep",
        None if decode_outcome(encode_outcome(outcome).decode()).query == "q" else "it was read as another",
    )
    odd = replace(outcome, answer="\ud800 \x00 \x1b[31m", error="\udfff")
    yield "half a surrogate pair", None if decode_outcome(encode_outcome(odd).decode()).query == "q" else "it was lost"


def workspaces(folder: Path, _chance: random.Random) -> Tries:
    """Sources that are deep, patterns without end, files that are none, names that are not UTF-8, secrets."""
    root = folder / "workspace"
    root.mkdir()
    (root / "elifs.py").write_text("def deep():\n    if 0: pass\n" + "    elif 0: pass\n" * 1200)
    (root / "terms.py").write_text("def deep():\n    return " + "1 +" * 1500 + " 1\n")
    (root / "minuses.py").write_text("def deep():\n    return " + "-" * 20_000 + "1\n")
    (root / "text.txt").write_text(("e" * 100 + "\n") * 9000)
    (root / "bom.py").write_text("\ufeffclass Marked: pass\n", encoding="utf-8")
    (root / ".env").write_text("TOKEN=order\n")
    (root / "shop.go").write_text("package shop\n\nfunc Elsewhere() {\n}\n")
    (root / "feeds.py").write_text("a = 1\x0c\nb = '\u2028'\nclass Third: pass\n")
    os.mkfifo(root / "pipe.py")
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.py")).write_text("def latin(): pass\n")
    tools = Toolbox(Workspace(root))
    checks = {
        "definitions in deep syntax": (tools.find_definition, ("deep",), "elifs.py:1-1202 (2 more)"),
        "a byte-order mark": (tools.find_definition, ("Marked",), "bom.py:1-1"),
        "form feeds and U+2028": (tools.find_definition, ("Third",), "feeds.py:3-3"),
        "a name that is not UTF-8": (tools.find_definition, ("latin",), "caf\\xe9.py:1-1"),
        "another language": (tools.find_definition, ("Elsewhere",), "shop.go:3-4"),
        "900 kB of matches": (tools.search_code, ("e",), "10209 matches in 7 files"),
        "a pattern that takes for ever": (tools.search_code, ("(e+)+x",), "no match"),
        "a pattern of five billion": (tools.search_code, ("a{5000000000}",), "no match"),
        "a pipe": (tools.read_file, ("pipe.py",), "error: 'pipe.py' is not a regular file"),
        "a secret": (tools.read_file, (".env",), "error: '.env' may hold secrets"),
        "outside": (tools.read_file, ("../../etc/passwd",), "error: '../../etc/passwd' is outside"),
        "a name of 5000 characters": (tools.read_file, ("x" * 5000,), "error:"),
    }
    for what, (tool, arguments, begins) in checks.items():
        begun = time.monotonic()
        answer = tool(*arguments)
        late = time.monotonic() - begun > 30
        wrong = None if answer.startswith(begins) else f"it said {answer[:120]!r}"
        yield what, "it took more than 30 s" if late else wrong


def hostile_page(folder: Path, _chance: random.Random) -> Tries:
    """A run whose texts are markup, script and escapes: the page and the table show them and do not obey them."""
    place = Path(shutil.copytree(KEPT / "done", folder / "run"))
    lines = (place / "outcomes.jsonl").read_text(encoding="utf-8").splitlines()
    evil = ("</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\x1b]52;c;ZXZpbA==\x07\x1b[2J",
            "[red]x[/red]", "${alert(1)}", "{{7*7}}", "--><svg onload=alert(1)>", "javascript:alert(1)")  # fmt: skip
    changed = []
    for number, line in enumerate(lines):
        text = evil[number % len(evil)]
        changed.append(encode_outcome(replace(decode_outcome(line), answer=text * 3, error=text)).rstrip(b"\n"))
    (place / "outcomes.jsonl").write_bytes(b"\n".join(changed) + b"\n")
    command = [sys.executable, "-m", "punie_trace", "report", str(place)]
    shown = subprocess.run([*command, "--full"], capture_output=True, text=True, timeout=60, check=False)
    page = (place / "report.html").read_text(encoding="utf-8")
    for text in evil:
        inside = text in page and ("<" in text or "\x1b" in text)
        yield f"{text[:20]!r} in the page", "it stands there as it is" if inside else None
    yield "escapes in the terminal", "they reach it" if "\x1b]52" in shown.stdout + shown.stderr else None
    yield "the exit code", None if shown.returncode == 0 else f"it is {shown.returncode}"


FOLDER_ROWS = {
    "folders: cut, flipped, doubled": damaged_folders,
    "folders: pipes, depth, years, types": odd_folders,
    "folders: deep arguments, surrogates": deep_arguments,
    "workspace: syntax, patterns, pipes, names": workspaces,
    "page and table: markup and escapes": hostile_page,
}
