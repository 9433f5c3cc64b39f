"""How long the parts of several generators take to be merged into one run, and how much memory.

Purpose: four generators that each asked 250,000 queries leave four parts, and merging them must take under 60 s and
under 1 GB. Parts are made up (seeded times; each on a clock of its own where `--clocks` is given), then merged in a
process of its own, whose CPU time and peak of memory are the system's figures.

    python bench/merge.py [--parts 4] [--outcomes 250000] [--clocks] [--no-spans]

With spans there are two for each outcome, about 1.4 kB. Output: size, seconds, CPU seconds, peak memory, and what a
query costs. Exit code 1 above 60 s or 1 GB for each million outcomes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from large_report import ANCHOR, ARMS, MS, QUERIES, make_outcome, make_spans

from punie_trace.runs.header import (
    Clock,
    ConfigurationRecord,
    Machine,
    OffsetRecord,
    PartRecord,
    RunHeader,
    SuiteRecord,
)
from punie_trace.runs.outcome_line import encode_outcome
from punie_trace.runs.writer import RunWriter
from punie_trace.spans.codec import to_line

MERGE = """
import sys
from pathlib import Path
from punie_trace.runs.merge import complete
problems = complete(Path(sys.argv[1]))
sys.exit("; ".join(problems) or 0)
"""


def header_of(parts: tuple[PartRecord, ...]) -> RunHeader:
    return RunHeader(
        id="merged",
        started=datetime(2026, 11, 21, tzinfo=UTC),
        suite=SuiteRecord(name="large", digest="none", queries=QUERIES),
        machine=Machine(os="Linux", arch="x86_64", cpu="any", cores=2),
        seed=1,
        rounds=1,
        clock=Clock(anchor_wall_ns=ANCHOR, anchor_monotonic_ns=0),
        configurations={name: ConfigurationRecord(path="http", server=None, kind="url") for name in ARMS},
        parts=parts,
    )


def part_of(number: int, outcomes: int, *, own_clock: bool) -> PartRecord:
    offset = OffsetRecord(
        at_ns=ANCHOR,
        offset_ns=number * 1_000_000_007 if own_clock else 0,
        drift=number * 1e-5 if own_clock else 0.0,
        uncertainty_ns=MS if own_clock else 0,
        first_ns=ANCHOR,
        last_ns=ANCHOR,
        readings=100 if own_clock else 0,
    )
    return PartRecord(
        name=f"host-{number}",
        host="host",
        generator=number,
        clock=Clock(anchor_wall_ns=ANCHOR, anchor_monotonic_ns=0),
        offset=offset,
        status="done",
        arrivals=outcomes,
    )


def make_part(folder: Path, part: PartRecord, outcomes: int, of: int, *, spans: bool) -> None:
    chance = random.Random(part.generator)
    arms = list(ARMS)
    with RunWriter(folder / "parts" / part.name, header_of(())):
        pass
    own = folder / "parts" / part.name
    ahead = part.offset.offset_ns if part.offset is not None else 0
    with (own / "outcomes.jsonl").open("wb") as lines, (own / "spans.jsonl").open("wb") as traces:
        for number in range(outcomes):
            seq = number * of + part.generator
            wall = int(50 * MS * chance.lognormvariate(0, 0.2))
            due = ANCHOR + ahead + seq * MS
            one = make_outcome(seq, 1, arms[seq % len(arms)], QUERIES[seq % len(QUERIES)], due, wall)
            lines.write(encode_outcome(one))
            if spans:
                traces.writelines(map(to_line, make_spans(one)))


def merge(folder: Path) -> tuple[float, float, int]:
    """Seconds, CPU seconds and peak bytes of merging."""
    begin = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", MERGE, str(folder)])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"merging ended with {os.waitstatus_to_exitcode(status)}")
    kilobytes = usage.ru_maxrss if sys.platform != "darwin" else usage.ru_maxrss // 1024
    return time.monotonic() - begin, usage.ru_utime + usage.ru_stime, kilobytes * 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--outcomes", type=int, default=250_000, help="of each part")
    parser.add_argument("--clocks", action="store_true", help="each part on a clock of its own, with a drift")
    parser.add_argument("--no-spans", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "run"
        parts = tuple(part_of(n, options.outcomes, own_clock=options.clocks) for n in range(options.parts))
        with RunWriter(folder, header_of(parts)):
            pass
        for part in parts:
            make_part(folder, part, options.outcomes, options.parts, spans=not options.no_spans)
        size = sum(file.stat().st_size for file in folder.rglob("*.jsonl")) / 2**20
        seconds, cpu, peak = merge(folder)
        with (folder / "outcomes.jsonl").open("rb") as file:
            merged = sum(1 for _ in file)
    total = options.parts * options.outcomes
    assert merged == total, f"{merged} of {total} outcomes were merged"
    print(
        json.dumps(
            {
                "parts": options.parts,
                "outcomes": total,
                "MiB": round(size),
                "own_clocks": options.clocks,
                "seconds": round(seconds, 1),
                "cpu_seconds": round(cpu, 1),
                "cpu_us_a_query": round(cpu / total * 1e6, 1),
                "peak_MB": round(peak / 1e6),
            }
        )
    )
    millions = max(total / 1e6, 1.0)
    return 1 if seconds > 60 * millions or peak > 1e9 * millions else 0


if __name__ == "__main__":
    sys.exit(main())
