"""The runner's process on a Ray cluster: it places agents on nodes and passes bytes between them and the runner.

    python -m punie_trace.engine.fleet.ray_broker FD

Ray ends the process that joined a cluster when the cluster's head is lost: so the runner does not join it itself, and
outlives that. All of Ray is in here, and nothing of the measurement.
"""

from __future__ import annotations

import importlib
import os
import pickle
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from punie_trace.engine.fleet.cluster_messages import (
    Answered,
    BringHome,
    Connect,
    Connected,
    Cut,
    Deliver,
    Delivered,
    EndProcess,
    Placed,
    Placement,
    PlaceOn,
    Refused,
    Spread,
)
from punie_trace.engine.fleet.node_agent import NodeAgent, remove_part

POLL_S: Final = 1.0
CALL_S: Final = 30.0
CHUNK: Final = 4 << 20
_SHORTEST: Final = 400


class Broker:
    """Serves one runner over `connection`."""

    def __init__(self, connection: Connection) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_DEDUP_LOGS", "0")
        self._ray: Any = importlib.import_module("ray")
        self._connection = connection
        self._sending = threading.Lock()
        self._agents: dict[int, Any] = {}
        self._nodes: dict[int, str] = {}
        self._groups: list[Any] = []
        self._slow = ThreadPoolExecutor(16, "files")
        self._connect = Connect("", "", "")

    def serve(self) -> None:
        """Until the runner is gone, or has closed the connection."""
        try:
            while True:
                message = self._connection.recv()
                try:
                    self._take(message)
                except Exception as error:
                    self._send(Refused(_in_words(error)))
        except (EOFError, OSError):
            pass
        finally:
            with suppress(Exception):
                self._ray.shutdown()

    def _take(self, message: object) -> None:
        match message:
            case Connect():
                self._join(message)
            case Spread():
                self._place(self._spread(message), message.module, message.limit_s)
            case PlaceOn():
                self._place([self._on(message.node)], message.module, message.limit_s)
            case Deliver():
                self._agents[message.number].send.remote(message.data)
            case BringHome():
                self._slow.submit(self._answer, message.number, lambda: self._bring_home(message))
            case EndProcess():
                self._slow.submit(self._answer, message.number, lambda: self._end(message.number))

    def _join(self, connect: Connect) -> None:
        self._connect = connect
        self._ray.init(
            address=connect.address,
            namespace=f"punie-trace-{connect.run_id}",
            runtime_env=dict(connect.runtime_env) or None,
            log_to_driver=False,
            configure_logging=False,
        )
        self._send(Connected(sum(1 for node in self._ray.nodes() if node["Alive"])))

    def _spread(self, spread: Spread) -> list[dict[str, Any]]:
        """Where each is scheduled: one on each node, and further ones on the same nodes in turn."""
        placement = importlib.import_module("ray.util.placement_group")
        scheduling = importlib.import_module("ray.util.scheduling_strategies")
        living = sum(1 for node in self._ray.nodes() if node["Alive"])
        across = min(spread.many, living)
        each = [len(range(place, spread.many, across)) for place in range(across)]
        group = placement.placement_group([{"CPU": float(many)} for many in each], strategy="STRICT_SPREAD")
        self._groups.append(group)
        if not group.wait(spread.limit_s):
            raise RuntimeError(
                f"the cluster has no room for {spread.many} generators on {across} nodes: each takes one CPU, and so "
                f"many are free: {self._ray.available_resources().get('CPU', 0):g}"
            )
        return [
            {
                "num_cpus": 1,
                "scheduling_strategy": scheduling.PlacementGroupSchedulingStrategy(
                    placement_group=group, placement_group_bundle_index=number % across
                ),
            }
            for number in range(spread.many)
        ]

    def _on(self, node: str) -> dict[str, Any]:
        """Where the node is that has the resource, or the label 'key=value'."""
        key, equals, value = node.partition("=")
        if equals:
            return {"num_cpus": 0, "label_selector": {key: value}}
        return {"num_cpus": 0, "resources": {node: 0.001}}

    def _place(self, options: Sequence[dict[str, Any]], module: str, limit_s: float) -> None:
        agent = self._ray.remote(concurrency_groups={"receive": 1, "files": 4})(NodeAgent)
        started = [
            agent.options(max_restarts=0, **one).remote(module, self._connect.run_id, self._connect.folder)
            for one in options
        ]
        found = self._ray.get([one.where.remote() for one in started], timeout=limit_s)
        placements = []
        for one, (where, folder, node) in zip(started, found, strict=True):
            number = len(self._agents)
            self._agents[number] = one
            self._nodes[number] = node
            placements.append(Placement(number, where, folder))
        self._send(Placed(tuple(placements)))
        for placed in placements:
            threading.Thread(target=self._receive, args=(placed.number,), daemon=True).start()

    def _receive(self, number: int) -> None:
        agent = self._agents[number]
        receive = agent.receive.options(concurrency_group="receive")
        try:
            while True:
                for data in self._ray.get(receive.remote(POLL_S), timeout=CALL_S):
                    if data is None:
                        self._send(Cut(number, self._ray.get(agent.how_it_ended.remote(), timeout=CALL_S)))
                        return
                    self._send(Delivered(number, data, time.monotonic_ns()))
        except Exception as error:
            self._send(Cut(number, _in_words(error)))

    def _answer(self, number: int, work: Callable[[], str]) -> None:
        try:
            text = work()
        except Exception as error:
            text = _in_words(error)
        self._send(Answered(number, text))

    def _bring_home(self, order: BringHome) -> str:
        """Copy with whoever is on that node: the agent itself or, where it is gone, another one."""
        try:
            self._copy(self._agents[order.number], order)
        except Exception as error:
            if Path(order.folder).is_dir():  # a disk that both have
                shutil.copytree(order.folder, order.part, dirs_exist_ok=True)
                remove_part(order.folder)
                return ""
            if not self._nodes[order.number]:
                return _in_words(error)
            scheduling = importlib.import_module("ray.util.scheduling_strategies")
            there = scheduling.NodeAffinitySchedulingStrategy(self._nodes[order.number], soft=False)
            reader = self._ray.remote(concurrency_groups={"files": 4})(NodeAgent)
            self._copy(reader.options(num_cpus=0, scheduling_strategy=there).remote("", "", ""), order)
        return ""

    def _copy(self, agent: Any, order: BringHome) -> None:
        files = agent.files.options(concurrency_group="files")
        read = agent.read.options(concurrency_group="files")
        for name, size in self._ray.get(files.remote(order.folder), timeout=CALL_S):
            target = Path(order.part) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                for start in range(0, size, CHUNK):
                    file.write(self._ray.get(read.remote(order.folder, name, start, CHUNK), timeout=CALL_S))
        remove = agent.remove.options(concurrency_group="files")
        self._ray.get(remove.remote(order.folder), timeout=CALL_S)

    def _end(self, number: int) -> str:
        agent = self._agents[number]
        try:
            return self._ray.get(agent.end.options(concurrency_group="files").remote(), timeout=CALL_S)
        finally:
            with suppress(Exception):
                self._ray.kill(agent)

    def _send(self, message: object) -> None:
        data = pickle.dumps(message)
        with self._sending, suppress(OSError):
            self._connection.send_bytes(data)


def _in_words(error: BaseException) -> str:
    """What Ray says, in one line and without its traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return f"{type(error).__name__}: {lines[0]}"[:_SHORTEST]


if __name__ == "__main__":
    with Connection(int(sys.argv[1])) as line:
        Broker(line).serve()
    os._exit(0)  # Ray's threads may wait for a cluster that is gone
