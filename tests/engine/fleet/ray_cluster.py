"""A Ray cluster of three nodes on this machine, for tests: prints its address, and ends with its standard input.

    python -m tests.engine.fleet.ray_cluster

Ports are given, because a node waits 15 s and no longer for those that its agents would choose themselves.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
from contextlib import ExitStack
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
PORTS = ("dashboard_agent_listen_port", "metrics_agent_port", "runtime_env_agent_port", "metrics_export_port")
NODES = 3
TRIES = 4
"""A busy machine may need more than one: a node gives its agents 15 s, and itself 30."""


def node_arguments(number: int) -> dict[str, Any]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in PORTS]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        ports = dict(zip(PORTS, (one.getsockname()[1] for one in sockets), strict=True))
    return {
        "num_cpus": 2,
        "include_dashboard": False,
        "object_store_memory": 80_000_000,
        "resources": {f"node{number}": 1},
        **ports,
    }


def started() -> Any:
    """All nodes, or none. Raises what Ray does where they do not come up in its own time."""
    # By name, as in the package: the extra need not be installed where types are checked.
    cluster = importlib.import_module("ray.cluster_utils").Cluster()
    try:
        for number in range(NODES):
            cluster.add_node(**node_arguments(number))
    except BaseException:
        cluster.shutdown()
        raise
    return cluster


def main() -> None:
    for left in reversed(range(TRIES)):
        try:
            cluster = started()
        except Exception:
            if not left:
                raise
        else:
            break
    print(f"address {cluster.address}", flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
