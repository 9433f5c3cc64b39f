"""What servers, models, machines and files may do, done on purpose: row by row, whether the run survived.

Purpose: a measuring tool is only as good as its worst case. One query may be lost, and the words must say why.
Background: each row is a kind of fault that users of such servers report, or that a disk, a kernel or a hostile client
can bring. A try survives where nothing hangs, nothing is left running, no traceback is shown, and what came of it (exit
code, folder, words) is as documented.
Output: for each row how many of its tries survived, what became of those that did not, and the totals. The exit code is
1 where a try did not survive. Rows that the time did not suffice for are counted as not run.

    uv run python bench/faults.py [--rows kill,serve] [--seconds 280] [--list]
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fault_folders import FOLDER_ROWS
from fault_runs import RUN_ROWS
from fault_serve import SERVE_ROWS, stop_server
from fault_servers import SERVER_ROWS

ROWS: dict[str, Callable[[Path, random.Random], Iterator[tuple[str, str | None]]]] = {
    **RUN_ROWS,
    **SERVER_ROWS,
    **SERVE_ROWS,
    **FOLDER_ROWS,
}
"""By name: gives (what was tried, what is wrong with what came of it, or None) for each try."""


@dataclass(frozen=True)
class Result:
    """A row's tries, and what did not survive."""

    name: str
    tries: int
    problems: Sequence[str]
    seconds: float

    @property
    def line(self) -> str:
        survived = self.tries - len(self.problems)
        mark = "survived" if not self.problems and self.tries else "NOT RUN" if not self.tries else "NOT SURVIVED"
        return f"{self.name:<42} {mark:<13} {survived:>4} of {self.tries:<4} {self.seconds:6.1f} s"


def tried(name: str, folder: Path, seed: int, until: float) -> Result:
    """One row. It begins no further try once the time is over."""
    begun = time.monotonic()
    tries, problems = 0, []
    place = Path(tempfile.mkdtemp(dir=folder))
    try:
        for what, problem in ROWS[name](place, random.Random(seed)):
            tries += 1
            if problem is not None:
                problems.append(f"{what}: {problem}")
            if time.monotonic() > until:
                break
    except Exception:
        tries += 1
        problems.append(f"the row itself failed: {traceback.format_exc(limit=-3)}")
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return Result(name, tries, problems, time.monotonic() - begun)


def main() -> None:
    """Run the rows, print each as it ends, and the totals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="", help="only rows whose names hold one of these words, with commas between")
    parser.add_argument("--seconds", type=float, default=280.0, help="the longest that all may take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="only name the rows")
    args = parser.parse_args()
    words = [word for word in args.rows.split(",") if word]
    names = [name for name in ROWS if not words or any(word in name for word in words)]
    if args.list:
        print("\n".join(names))
        return
    until = time.monotonic() + args.seconds
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(names):
            if time.monotonic() > until:
                results.append(Result(name, 0, (), 0.0))
            else:
                share = (until - time.monotonic()) / (len(names) - number)
                results.append(tried(name, Path(folder), args.seed, time.monotonic() + max(4 * share, 20)))
            print(results[-1].line, flush=True)
            for problem in results[-1].problems:
                print("    " + problem.replace("\n", "\n    ")[:1500], flush=True)
        stop_server()
    tries, problems = sum(one.tries for one in results), sum(len(one.problems) for one in results)
    left = sum(not one.tries for one in results)
    print(f"\n{len(results)} rows, {tries} tries: {tries - problems} survived, {problems} did not; {left} rows not run")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
