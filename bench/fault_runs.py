"""Rows of `faults` about whole runs of the command line: kills, signals, disks, clocks, set-ups, what is printed to."""

from __future__ import annotations

import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from fault_command import GOOD, SLOW, Done, Tries, argv, configuration, program, run, url

from punie_trace.runs.reader import read_run
from punie_trace.testing import Reply, Rule, Script, Text, scripted_server


def left_of(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def killed(folder: Path, chance: random.Random) -> Tries:
    """kill -9 at random moments: no server is left, and the folder is read."""
    for _ in range(6):
        command = argv(folder, configuration(program(SLOW, folder)), "--rounds", "50")
        yield _interrupted(command, signal.SIGKILL, 0.5 + 5 * chance.random())


def signals(folder: Path, _chance: random.Random) -> Tries:
    """INT, TERM and HUP while it measures: exit code 130, no server is left, the folder says 'interrupted'."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        command = argv(folder, configuration(program(SLOW, folder)), "--rounds", "50")
        yield _interrupted(command, number, None)


def _interrupted(command: list[str], number: signal.Signals, after_s: float | None) -> tuple[str, str | None]:
    """Send a signal after so long, or once there is an outcome."""
    folder = Path(command[command.index("--out") + 1])
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    what = f"{number.name} " + ("while it measures" if after_s is None else f"after {after_s:.2f} s")
    deadline = time.monotonic() + 60
    outcomes = folder / "outcomes.jsonl"
    if after_s is not None:
        time.sleep(after_s)
    while after_s is None and not (outcomes.is_file() and outcomes.stat().st_size):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            return what, f"it measured nothing: {process.communicate()[0][-300:]!r}"
        time.sleep(0.05)
    children = left_of(psutil.Process(process.pid)) if process.poll() is None else []
    process.send_signal(number)
    try:
        shown, _ = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        return what, "it did not end within 30 s"
    if b"Traceback" in shown:
        return what, f"a traceback: {shown[-400:]!r}"
    if after_s is None and process.returncode != 130:
        return what, f"exit code {process.returncode}"
    if psutil.wait_procs(children, timeout=5)[1]:
        return what, "processes were left"
    if (folder / "run.json").is_file():
        status = read_run(folder).header.status
        if status != ("running" if number == signal.SIGKILL else "interrupted"):
            return what, f"the folder says {status!r}"
    return what, None


_LIMITED = (
    "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); del sys.argv[1]; "
    "from punie_trace.cli.main import main; sys.argv[0] = 'punie-trace'; main()"
)


def full_disks(folder: Path, _chance: random.Random) -> Tries:
    """Files that may not grow beyond a size stand for a full disk."""
    with scripted_server(GOOD) as server:
        for size in (0, 1_000, 6_000, 30_000):
            command = argv(folder, url(server.base_url), "--rounds", "60")
            done = run([sys.executable, "-c", _LIMITED, str(size), *command[3:]])
            yield f"{size} bytes", done.wrong(2, 4)


def full_file_systems(folder: Path, _chance: random.Random) -> Tries:
    """File systems of a few KiB, which fill up at the header, in spans, in the page; where they can be mounted."""
    place = folder / "small"
    place.mkdir()
    for kib in (4, 16, 24, 32, 48, 96, 200, 400):
        mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=700", "tmpfs", str(place)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            return
        try:
            command = argv(folder, configuration(program(GOOD, folder)), "--rounds", "60")
            command[command.index("--out") + 1] = str(place / "run")
            done = run(command)
            problem = done.wrong(2, 4)
            if problem is None and "full" not in done.text:
                problem = f"it does not say that the disk is full: {done.text[-300:]}"
            if problem is None and done.code == 4:
                read_run(done.folder)
            yield f"{kib} KiB", problem
        finally:
            subprocess.run(["umount", str(place)], check=True)


_JUMPING = """
import sys, threading, time
offset = [0]
real, real_ns = time.time, time.time_ns
time.time = lambda: real() + offset[0]
time.time_ns = lambda: real_ns() + offset[0] * 10**9
def jump():
    for years in (40, -40, 0):
        time.sleep(0.4)
        offset[0] = years * 365 * 86400
threading.Thread(target=jump, daemon=True).start()
from punie_trace.cli.main import main
sys.argv[0] = "punie-trace"
main()
"""


def clock_steps(folder: Path, _chance: random.Random) -> Tries:
    """The wall clock jumps by 40 years both ways while a run is measured: every ledger closes."""
    with scripted_server(SLOW) as server:
        done = run([sys.executable, "-c", _JUMPING, *argv(folder, url(server.base_url), "--rounds", "3")[3:]])
    problem = done.wrong(0)
    if problem is None and any(one.wall_ns > 30e9 or one.wall_ns < 0 for one in read_run(done.folder).outcomes):
        problem = "a query took years"
    yield "three steps", problem


def misconfigured(folder: Path, _chance: random.Random) -> Tries:
    """What is wrong with the set-up is said of all configurations at once, before any server is started."""
    good = configuration(program(GOOD, folder))
    there, started = 'kind = "url"\nurl = "http://127.0.0.1:1"\n', 'kind = "command"\ncommand = ["true", "{port}"]\n'
    wrong = (
        ("a program that is not there", 'kind = "command"\ncommand = ["/no/such", "{port}"]\n', "/no/such"),
        ("a key that is not set", f'{there}api_key_env = "NO_SUCH_KEY"\n', "NO_SUCH_KEY"),
        ("an odd environment", f'{started}environment = {{ "A=B" = "x" }}\n', "A=B"),
        ("a model that is not there", 'kind = "mlx_lm"\nmodel_path = "/no/model"\n', "/no/model"),
        ("an unknown setting", f"{there}speed = 9\n", "speed"),
    )  # fmt: skip
    for what, lines, says in wrong:
        done = run(argv(folder, good + configuration(lines, "other")))
        yield what, done.wrong(2, says=says) or ("a folder was made" if done.folder.exists() else None)
    both = good + configuration(wrong[0][1], "one") + configuration(wrong[1][1], "two")
    done = run(argv(folder, both))
    yield "two of them", done.wrong(2, says="/no/such") or done.wrong(2, says="NO_SUCH_KEY")
    for what, address in (("control characters", "http://127.0.0.1\\u0007:1"), ("70 kB", "http://" + "a" * 70_000)):
        yield f"a url of {what}", run(argv(folder, url(address))).wrong(2, 3)


def outputs(folder: Path, _chance: random.Random) -> Tries:
    """What is printed to must not decide what is measured."""
    with scripted_server(GOOD) as server:
        where = url(server.base_url)
        with open("/dev/full", "w") as full:  # noqa: PTH123
            done = run(argv(folder, where), stdout=full)
            yield "/dev/full for the output", done.wrong(0, 4)
            done = run(argv(folder, where), stderr=full)
            yield "/dev/full for errors", done.wrong(0) or _measured(done)
        for descriptor in (1, 2):
            command = ["sh", "-c", f'exec "$@" {descriptor}>&-', "sh", *argv(folder, where)]
            done = run(command)
            yield f"descriptor {descriptor} closed", done.wrong(0) or _measured(done)
        command = argv(folder, where)
        shell = ["bash", "-c", '"$@" | head -1 > /dev/null; exit ${PIPESTATUS[0]}', "bash", *command]
        yield "| head -1", run(shell).wrong(0)


def _measured(done: Done) -> str | None:
    return None if len(read_run(done.folder).outcomes) == 2 else "it did not measure"


def descriptors(folder: Path, _chance: random.Random) -> Tries:
    """Too few files and sockets: said before the start where it is known, ours and not the server's where it is not."""

    def limited(number: int) -> Callable[[], None]:
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))

    with scripted_server(SLOW) as server:
        command = argv(folder, url(server.base_url), "--concurrency", "200", "--rounds", "100")
        yield "200 at once", run(command, preexec_fn=limited(64)).wrong(2, says="open files")
    slower = Script(rules=(Rule(contains="", reply=Reply(steps=(Text(text="a", delay_s=2.0),))),))
    with scripted_server(slower) as server:
        command = argv(folder, url(server.base_url), "--rate", "100", "--duration", "2", "--rounds", "500")
        done = run(command, preexec_fn=limited(96))
        problem = done.wrong(0, 4)
        if problem is None:
            errors = [one.error for one in read_run(done.folder).outcomes if one.error]
            others = [one for one in errors if "ours: this process" not in one]
            problem = f"errors that are not marked as ours: {others[:2]}" if others else None
            problem = problem or (None if errors else "nothing ran out: the try tells nothing")
        yield "100 a second", problem


RUN_ROWS = {
    "kill -9 at random moments": killed,
    "signals: INT, TERM, HUP": signals,
    "disks that are full": full_disks,
    "file systems that are full": full_file_systems,
    "the clock jumps by 40 years": clock_steps,
    "configurations that are wrong": misconfigured,
    "outputs: full, closed, cut": outputs,
    "too few descriptors": descriptors,
}
