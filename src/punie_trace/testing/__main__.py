"""The scripted server as a program, on a core of its own, until TERM; also for a configuration of kind `command`.

    python -m punie_trace.testing --port {port} --script FILE.json [--record FILE.jsonl]
    python -m punie_trace.testing --port {port} --first-ms 50 --between-ms 10 --chunks 16 [--record FILE.jsonl]

The first plays a `Script`, the second a `KnownLatency`; the record has a `RequestRecord` a line.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from punie_trace.driver.precise_loop import new_event_loop
from punie_trace.testing.connection import RequestRecord
from punie_trace.testing.known_latency import KnownLatency
from punie_trace.testing.script import Script
from punie_trace.testing.server import OK_SCRIPT, ScriptedServer

_FLUSH_S = 0.5


def main() -> NoReturn:
    """Parse, load as long as the script says, and serve until TERM or Ctrl-C."""
    parser = _parser()
    given = parser.parse_args()
    script = _script(parser, given)
    try:
        record = given.record.open("a", encoding="utf-8") if given.record is not None else None
    except OSError as error:
        parser.error(f"--record {given.record}: {error.strerror}")
    if script.says:
        print(script.says, flush=True)  # noqa: T201 - it is what the script asks for
    time.sleep(script.load_s)
    if script.startup == "exit":
        sys.exit(script.exit_code)

    def write(one: RequestRecord) -> None:
        if record is not None:
            # Not asdict, which copies each of the many times.
            line = {known.name: getattr(one, known.name) for known in fields(one)}
            record.write(json.dumps(line, separators=(",", ":")) + "\n")

    def flush() -> None:
        if record is not None:
            record.flush()

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, stop.set)
        if script.ignores_term:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        else:
            loop.add_signal_handler(signal.SIGTERM, stop.set)
        gc.freeze()  # what was imported is no garbage, and looking at it again would be a pause
        serving = asyncio.ensure_future(server.serve_until(stop))
        while not serving.done():
            await asyncio.wait([serving], timeout=_FLUSH_S)
            flush()
        await serving

    if script.startup == "deaf":
        threading.Event().wait()
    server = ScriptedServer(script, host=given.host, port=given.port, on_over=write)
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve())
    sys.exit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m punie_trace.testing", description="A scripted OpenAI-compatible server."
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--script", type=Path, help="a JSON file with a Script; without it every answer is 'ok'")
    parser.add_argument("--record", type=Path, help="append each request and its times to this file, a JSON a line")
    timed = parser.add_argument_group(
        "known latency", "in place of a script; any of these makes the server stream at set times"
    )
    timed.add_argument("--first-ms", type=float, help="to the first chunk (50)")
    timed.add_argument("--between-ms", type=float, help="from one chunk to the next (10)")
    timed.add_argument("--jitter", type=float, help="share by which each delay varies, 0 to 1")
    timed.add_argument("--chunks", type=int, help="chunks with text in each answer (16)")
    timed.add_argument("--tool", help="call this tool before the answer")
    timed.add_argument("--tool-arguments", help="its arguments, as JSON")
    timed.add_argument("--fail", type=float, help="share of requests that get status 500")
    timed.add_argument("--cut", type=float, help="share of requests cut off in the middle")
    timed.add_argument("--seed", type=int)
    return parser


def _script(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Script:
    try:
        arguments = json.loads(given.tool_arguments) if given.tool_arguments is not None else None
    except ValueError as error:
        parser.error(f"--tool-arguments: {error}")
    settings = {
        "first_s": None if given.first_ms is None else given.first_ms / 1e3,
        "between_s": None if given.between_ms is None else given.between_ms / 1e3,
        "jitter": given.jitter,
        "chunks": given.chunks,
        "tool": given.tool,
        "tool_arguments": arguments,
        "fail_share": given.fail,
        "cut_share": given.cut,
        "seed": given.seed,
    }
    settings = {name: value for name, value in settings.items() if value is not None}
    if given.script is not None:
        if settings:
            parser.error("--script has all that the server does: leave out the flags of known latency, or --script")
        try:
            return Script.model_validate_json(given.script.read_bytes())
        except (OSError, ValidationError) as error:
            parser.error(f"--script {given.script}: {error}")
    if not settings:
        return OK_SCRIPT
    try:
        return KnownLatency.model_validate(settings).script()
    except ValidationError as error:
        parser.error("; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors(include_url=False)))


if __name__ == "__main__":
    main()
