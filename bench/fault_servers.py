"""Rows of `faults` about what a run meets: collectors and servers that are none, answer oddly, without end, or die.

All of it is on loopback.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import resource
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fault_command import GOOD, Tries, argv, configuration, program, run, url

from punie_trace.runs.reader import read_run
from punie_trace.testing import Die, Hang, Raw, Reply, Rule, Script, Text, ToolCall, scripted_server

KEY = "sk-fault-0123456789abcdef"
MEMORY = 2 * 2**30
"""Bytes that a run against a server without end may take at most."""
Answer = Callable[[socketserver.StreamRequestHandler], object]


@contextmanager
def answering(answer: Answer) -> Generator[str]:
    """A server on loopback that reads a request's head, then does what it is told."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            length = 0
            while (line := self.rfile.readline(65536)) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            try:
                self.rfile.read(length)
                answer(self)
            except OSError:
                return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def _says(head: str, body: bytes = b"", times: int = 1, pause_s: float = 0.0) -> Answer:
    def answer(handler: socketserver.StreamRequestHandler) -> None:
        handler.wfile.write(f"HTTP/1.1 {head}\r\nconnection: close\r\n\r\n".encode())
        for _ in range(times):
            handler.wfile.write(body)
            time.sleep(pause_s)

    return answer


def _hangs(_handler: socketserver.StreamRequestHandler) -> None:
    time.sleep(60)


BOMB = gzip.compress(b"0" * 30_000_000)
COLLECTORS: Mapping[str, Answer] = {
    "302 to elsewhere": _says("302 Found\r\nlocation: http://127.0.0.1:1/"),
    "a web page": _says("200 OK\r\ncontent-type: text/html", b"<html>login</html>"),
    "500 for ever": _says("500 No\r\ncontent-length: 0"),
    "it closes at once": lambda _: None,
    "no HTTP": lambda handler: handler.wfile.write(b"hello\r\n\r\n"),
    "a gzip bomb": _says("200 OK\r\ncontent-encoding: gzip", BOMB, times=40),
    "an endless answer": _says("200 OK", b"x" * 65536, times=20_000),
    "it hangs": _hangs,
}


def collectors(folder: Path, _chance: random.Random) -> Tries:
    """Collectors that are none, refuse, bomb or hang cost a run nothing: every span is in its file."""
    with scripted_server(GOOD) as server:
        for what, answer in COLLECTORS.items():
            with answering(answer) as address:
                done = run(argv(folder, url(server.base_url), "--otlp", address), within_s=60)
            problem = done.wrong(0, 2, 4, within_s=30)
            if problem is None and done.code == 0 and "spans sent" in done.text and "0 spans sent" not in done.text:
                problem = f"it claims that spans arrived: {done.text[-200:]}"
            yield what, problem


SERVERS: Mapping[str, tuple[Answer, str]] = {
    "a gzip bomb": (_says("200 OK\r\ncontent-encoding: gzip\r\ncontent-type: application/json", BOMB, times=40), ""),
    "an endless error body": (_says("400 No", b"x" * 65536, times=40_000), ""),
    "an endless model list": (
        _says("200 OK\r\ncontent-type: application/json", b'{"data": [' + b"1," * 32_000, times=20_000),
        "",
    ),
    "a login page": (_says("200 OK\r\ncontent-type: text/html", b"<html>login</html>"), "web page"),
    "401": (_says("401 No", f"bad key {KEY}".encode()), "api_key_env"),
    "500 for ever": (_says("500 No", b"no"), "it answered 500"),
    "a redirect": (_says("302 Found\r\nlocation: /login"), "redirects"),
    "escapes in an error": (_says("400 No", b"\x1b]52;c;ZXZpbA==\x07\x1b[2Jbad"), "bad"),
    "no HTTP": (lambda handler: handler.wfile.write(b"\x00\x01\x02\r\n\r\n"), ""),
    "it trickles": (_says("200 OK\r\ncontent-type: application/json", b" ", times=600, pause_s=0.1), ""),
}


def servers_at_start(folder: Path, _chance: random.Random) -> Tries:
    """Servers that are none when they are first asked: given up in words, in time, in bounded memory."""
    environment = {**os.environ, "FAULT_AUTH": KEY}
    for what, (answer, says) in SERVERS.items():
        with answering(answer) as address:
            command = argv(folder, url(address, 'api_key_env = "FAULT_AUTH"\nmodel = "m"\n'), "--ready-timeout", "6")
            limit = lambda: resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))  # noqa: E731
            done = run(command, within_s=60, env=environment, preexec_fn=limit)
        problem = done.wrong(3, says=says, within_s=50)
        if problem is None and ("\x1b]" in done.text or KEY in done.text):
            problem = "escapes or the key reached the terminal"
        if problem is None and done.folder.is_dir() and read_run(done.folder).header.status == "done":
            problem = "the folder says 'done' though no server came up"
        yield what, problem


def servers_in_answers(folder: Path, _chance: random.Random) -> Tries:
    """Answers that are odd, without end, deep, or cut: each query has an outcome, and nothing else."""
    deep = "[" * 960 + "]" * 960
    replies = {
        "no finish and no end": Reply(steps=(Text(text="a"), Hang(), )),
        "data: null": Reply(steps=(Raw(data="data: null\n\n"), Text(text="a"))),
        "content as a number": Reply(steps=(Raw(data='data: {"choices":[{"delta":{"content":7}}]}\n\n'),)),
        "usage as a list": Reply(steps=(Raw(data='data: {"choices":[],"usage":[1]}\n\n'), Text(text="a"))),
        "arguments 960 deep": Reply(steps=(ToolCall(name="search_code", arguments='{"pattern": ' + deep + "}"),)),
        "a pattern without end": Reply(steps=(ToolCall(name="search_code", arguments={"pattern": "(e+)+x"}),)),
        "a huge pattern": Reply(steps=(ToolCall(name="search_code", arguments={"pattern": "a{5000000000}"}),)),
        "half a line without end": Reply(steps=(Raw(data="data: " + "x" * 100_000, times=1200),)),
        "escapes in a name": Reply(steps=(ToolCall(name="\x1b]52;c;x\x07", arguments={}),)),
        "500 with the key": Reply(status=500, error=f"bad key {KEY}"),
    }  # fmt: skip
    environment = {**os.environ, "FAULT_AUTH": KEY}
    for what, reply in replies.items():
        with scripted_server(Script(rules=(Rule(contains="", reply=reply),))) as server:
            settings = url(server.base_url, 'api_key_env = "FAULT_AUTH"\n')
            done = run(argv(folder, settings, "--timeout", "4"), within_s=60, env=environment)
        problem = done.wrong(0, 3, 4, within_s=40)
        if problem is None and len(read_run(done.folder).outcomes) != 2:
            problem = "a query has no outcome"
        if problem is None and (KEY in done.text or "\x1b]52" in done.text):
            problem = "escapes or the key reached the terminal"
        if problem is None and any(KEY.encode() in one.read_bytes() for one in done.folder.rglob("*") if one.is_file()):
            problem = "the key stands in the folder"
        yield what, problem


def dying_servers(folder: Path, _chance: random.Random) -> Tries:
    """Servers that die: at their start, in an answer, while their starter lives on, or only in their main thread."""
    died = Script(rules=(Rule(contains="", reply=Reply(steps=(Text(text="a"), Die(code=3)))),), says="my last words")
    yield "in an answer", run(argv(folder, configuration(program(died, folder)))).wrong(0, 3, 4, says="my last words")
    served = f"{sys.executable} -m punie_trace.testing --port {{port}} & sleep 1; echo started; sleep 300"
    starter = f'kind = "command"\ncommand = ["sh", "-c", {json.dumps(served)}]\n'
    yield "its starter lives on", run(argv(folder, configuration(starter))).wrong(0)
    code = "import threading, time; threading.Thread(target=time.sleep, args=(300,)).start(); raise UserWarning('odd')"
    thread = f'kind = "command"\ncommand = ["{sys.executable}", "-c", {json.dumps(code)}, "{{port}}"]\nmodel = "m"\n'
    yield "in its main thread", run(argv(folder, configuration(thread))).wrong(3, says="UserWarning: odd", within_s=40)
    at_once = 'kind = "command"\ncommand = ["false", "{port}"]\nmodel = "m"\n'
    yield "at once", run(argv(folder, configuration(at_once))).wrong(3, says="exited with code 1", within_s=20)
    flood = "import sys\nwhile True: sys.stdout.write('x' * 99 + chr(10))"
    noisy = f'kind = "command"\ncommand = ["{sys.executable}", "-c", {json.dumps(flood)}, "{{port}}"]\nmodel = "m"\n'
    done = run(argv(folder, configuration(noisy), "--ready-timeout", "6"))
    size = sum(one.stat().st_size for one in done.folder.rglob("*") if one.is_file())
    yield "a flood in its log", done.wrong(3) or (f"its logs have {size} bytes" if size > 400 * 2**20 else None)


SERVER_ROWS = {
    "collectors that are none or hostile": collectors,
    "servers that are none at the start": servers_at_start,
    "answers: odd, endless, deep, with keys": servers_in_answers,
    "servers that die or flood": dying_servers,
}
