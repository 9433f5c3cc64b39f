"""The first command in a clean account without root, from a built wheel, with the system's OpenBLAS hidden.

What it is for: whoever tries this on a bare Linux machine has no checkout, no caches and no right to install system
packages. So the wheel is installed by pip into a fresh environment, in a folder that is HOME; the system's OpenBLAS is
hidden in a mount namespace of its own (an empty folder or file over each place where the loader would find one); and
what runs there has no more rights than the user `nobody` (or your own, where you are not root). Printed are the time of
the install, what it takes on disk, and of each run its time, when the first figures of all configurations came, and
which BLAS the run's header names. Then in turns with the packaged OpenBLAS and without it (`PUNIE_TRACE_BLAS=off`, on
which servers start as if it were not installed).

The first run makes what is made once: the shipped weights in single precision, and OpenBLAS under its usual names.

    uv run python bench/clean_account.py [--wheel FILE] [--turns 1] [--first 'run --quick'] [--python /usr/bin/python3]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PLACES = ("/usr/lib*/*openblas*", "/usr/lib/*/*openblas*", "/usr/local/lib/*openblas*", "/opt/*/lib/*openblas*")
NOBODY = 65534
LIMIT_S = 900.0
_FIRST = re.compile(r"median so far: .*;")


@dataclass(frozen=True)
class Ran:
    """One command: seconds in all, and until each configuration had figures; None where that was never said."""

    seconds: float
    first_figures_s: float | None
    blas: tuple[str, ...]
    right: str
    printed: str


def build(folder: Path) -> Path:
    root = Path(__file__).parents[1]
    subprocess.run(["uv", "build", "--quiet", "--wheel", "--out-dir", str(folder), str(root)], check=True)
    return next(folder.glob("*.whl"))


def install(python: str, wheel: Path, home: Path) -> float:
    """Seconds that pip took. The environment's own settings for pip hold, as they would for a user."""
    subprocess.run(["uv", "venv", "--quiet", "--seed", "--python", python, str(home / "venv")], check=True)
    begun = time.monotonic()
    pip = [str(home / "venv/bin/python"), "-m", "pip", "install", "--quiet", "--no-cache-dir", str(wheel)]
    subprocess.run(pip, check=True, env={**os.environ, "HOME": str(home)})
    return time.monotonic() - begun


def system_openblas() -> list[Path]:
    """Every place of the system that holds an OpenBLAS: folders and files."""
    found = {path.resolve() for place in PLACES for path in Path("/").glob(place.lstrip("/"))}
    program = shutil.which("ldconfig") or shutil.which("ldconfig", path="/sbin:/usr/sbin")
    if program is not None:
        listed = subprocess.run([program, "-p"], capture_output=True, text=True, check=False).stdout
        found |= {Path(path).resolve() for path in re.findall(r"\blibopenblas\S* .*=> (/\S+)", listed)}
    folders = {path for path in found if path.is_dir()}
    return sorted(folders | {path for path in found if path.is_file() and not folders & set(path.parents)})


def hidden(command: list[str], places: list[Path], empty: Path) -> list[str]:
    """`command` in a mount namespace where `places` are empty, with no more rights than an ordinary user."""
    root = os.geteuid() == 0
    covers = [
        f"mount --bind {shlex.quote(str(empty if one.is_dir() else empty / 'file'))} {shlex.quote(str(one))}"
        for one in places
    ]
    rights = (
        ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs", "--"] if root else []
    )
    script = " && ".join([*covers, f"exec {shlex.join([*rights, *command])}"])
    return ["unshare", "--mount", *([] if root else ["--user", "--map-root-user"]), "sh", "-c", script]


def run(argv: list[str], environment: dict[str, str], home: Path, out: Path) -> Ran:
    begun = time.monotonic()
    first: float | None = None
    printed: list[str] = []
    with subprocess.Popen(
        argv, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            printed.append(line)
            if first is None and _FIRST.search(line):
                first = time.monotonic() - begun
    seconds = time.monotonic() - begun
    if process.returncode != 0:
        raise SystemExit(f"the command ended with {process.returncode}:\n{''.join(printed)}")
    header = json.loads((out / "run.json").read_text())
    outcomes = [json.loads(line) for line in (out / "outcomes.jsonl").read_text().splitlines()]
    right = sum(one["verdict"] == "correct" for one in outcomes)
    blas = sorted({server["blas"] for server in header["servers"].values() if server.get("blas")})
    return Ran(seconds, first, tuple(blas), f"{right} of {len(outcomes)}", "".join(printed))


def main(wheel: Path | None, turns: int, first: list[str], python: str) -> None:
    places = system_openblas()
    with tempfile.TemporaryDirectory(prefix="clean-account-") as folder:
        home = Path(folder) / "home"
        empty = Path(folder) / "empty"
        empty.mkdir()
        (empty / "file").touch()
        home.mkdir()
        wheel = wheel or build(Path(folder) / "dist")
        print(f"{wheel.name}: installed by pip in {install(python, wheel, home):.1f} s", end=", ")
        used = subprocess.run(["du", "-sm", str(home / "venv")], capture_output=True, text=True, check=True).stdout
        print(f"{used.split()[0]} MB on disk; hidden: {', '.join(map(str, places)) or 'no OpenBLAS is here'}")
        for path in (Path(folder), empty, empty / "file"):
            path.chmod(0o755)
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(home)], check=True)
        clean = {"HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
        arms = [
            ("first", first, {}),
            *[
                (name, ["run", "--quick"], own)
                for _ in range(turns)
                for name, own in (("with", {}), ("without", {"PUNIE_TRACE_BLAS": "off"}))
            ],
        ]
        print(f"\n{'arm':<9}{'command':<14}{'seconds':>9}{'first figures':>15}{'right':>10}  BLAS")
        for number, (name, command, own) in enumerate(arms):
            out = home / "runs" / str(number)
            argv = [str(home / "venv/bin/punie-trace"), *command, "--plain", "--otlp", "off", "--out", str(out)]
            ran = run(hidden(["timeout", str(LIMIT_S), *argv], places, empty), {**clean, **own}, home, out)
            came = "not said" if ran.first_figures_s is None else f"{ran.first_figures_s:.1f} s"
            blas = ", ".join(one.replace(str(home), "~") for one in ran.blas)
            print(f"{name:<9}{' '.join(command):<14}{ran.seconds:>7.1f} s{came:>15}{ran.right:>10}  {blas}", flush=True)
            if number == 0:
                print("\n" + ran.printed + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, help="the built wheel; if absent it is built from this checkout")
    parser.add_argument("--turns", type=int, default=1, help="with and without, so often each")
    parser.add_argument("--first", type=shlex.split, default=["run"], help="the first command")
    parser.add_argument("--python", default="/usr/bin/python3", help="an interpreter that every user may run")
    given = parser.parse_args()
    if sys.platform != "linux":
        sys.exit("this hides Linux' OpenBLAS; a Mac has none to hide")
    main(given.wheel, given.turns, given.first, given.python)
