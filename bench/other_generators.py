"""Other load generators against a server of known latency, where they are installed: guidellm and aiperf.

They are no dependencies of this project, and can hardly stand in one environment with it: give each one of its own
(`uv tool install guidellm`, `uv tool install aiperf`) and the bench finds its command. Their times are read from their
own output files. Nothing is downloaded: the tokenizer that they want is the shipped model's, and the tokens counted are
the server's.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from known_server import MODEL, QUESTION, KnownServer

import punie_trace

TOKENIZER = Path(punie_trace.__file__).parent / "models" / "target"
Times = list[tuple[int, int]]
"""(start in ns of `time.monotonic_ns`, time to first chunk in ns) of each request that was answered."""
Generator = Callable[[str, Path, KnownServer, float, int], Times]
"""(command, folder for its files, server, queries a second, how many) -> its times."""


def guidellm(command: str, folder: Path, server: KnownServer, rate: float, queries: int) -> Times:
    """As guidellm 0.8 has them: from the start of the request to the first token's iteration, in s of the wall."""
    prompts, out = folder / "prompts.txt", folder / "guidellm.json"
    prompts.write_text(f"{QUESTION}\n" * queries)
    _run(
        [
            command,
            "run",
            "--backend",
            f"kind=openai_http,target={server.base_url.removesuffix('/v1')},model={MODEL}",
            "--profile",
            f"kind=constant,rate={rate:g}",
            "--constraint",
            f"kind=max_requests,count={queries}",
            "--data",
            f"kind=text_file,path={prompts}",
            "--tokenizer",
            f"kind=huggingface_auto,model={TOKENIZER}",
            "--output",
            f"kind=json,path={out}",
            "--disable-console",
        ]
    )
    (benchmark,) = json.loads(out.read_text())["benchmarks"]
    times = [one["info"]["timings"] for one in benchmark["requests"]["successful"]]
    return [
        (_monotonic(round(t["request_start"] * 1e9)), round((t["first_token_iteration"] - t["request_start"]) * 1e9))
        for t in times
    ]


def aiperf(command: str, folder: Path, server: KnownServer, rate: float, queries: int) -> Times:
    """As aiperf 0.13 has them: its `time_to_first_token`, in ms."""
    prompts, out = folder / "prompts.jsonl", folder / "aiperf"
    prompts.write_text(json.dumps({"text": QUESTION}) + "\n")
    _run(
        [
            command,
            "profile",
            "--model",
            MODEL,
            "--url",
            server.base_url.removesuffix("/v1"),
            "--endpoint-type",
            "chat",
            "--streaming",
            "--use-server-token-count",
            "--tokenizer",
            str(TOKENIZER),
            "--input-file",
            str(prompts),
            "--custom-dataset-type",
            "single_turn",
            "--request-rate",
            f"{rate:g}",
            "--arrival-pattern",
            "constant",
            "--request-count",
            str(queries),
            "--output-artifact-dir",
            str(out),
            "--export-level",
            "records",
            "--no-auto-plot",
        ]
    )
    lines = [json.loads(line) for line in (out / "profile_export.jsonl").read_text().splitlines()]
    return [
        (
            _monotonic(line["metadata"]["request_start_ns"]),
            round(line["metrics"]["time_to_first_token"]["value"] * 1e6),
        )
        for line in lines
        if "time_to_first_token" in line["metrics"]
    ]


GENERATORS: dict[str, Generator] = {"guidellm": guidellm, "aiperf": aiperf}


def beyond_truth(times: Times, truths: list[dict[str, object]]) -> list[int]:
    """Each time minus the server's own for the same request, in ns; they carry no name that the server knows.

    Requests are matched in the order in which they were sent and read: at even rates they are 10 ms and more apart.
    """
    if len(times) != len(truths):
        raise RuntimeError(f"{len(times)} times, and the server knows {len(truths)} requests")
    errors = []
    for (_, ttft), truth in zip(sorted(times), sorted(truths, key=lambda one: one["head_ns"]), strict=True):  # ty: ignore
        written, body = truth["written_ns"], truth["body_ns"]
        assert isinstance(written, list)
        assert isinstance(body, int)
        errors.append(ttft - (int(written[0]) - body))
    return errors


def _monotonic(wall_ns: int) -> int:
    return wall_ns - time.time_ns() + time.monotonic_ns()


def _run(command: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
