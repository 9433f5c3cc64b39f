"""Generators on the nodes of a Ray cluster, as a runner has them. It loads no Ray: that is the broker's, a process.

Where the broker ends, as it does with the cluster's head, all generators are lost and the run ends with what there is.
"""

from __future__ import annotations

import importlib.util
import pickle
import queue
import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

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
from punie_trace.engine.fleet.node_agent import remove_part
from punie_trace.engine.fleet.post import Heard, Here, Lost, Post
from punie_trace.engine.fleet.process import GENERATOR, ToldProcess
from punie_trace.engine.settings import FleetSettings
from punie_trace.errors import ConfigurationError, ServerError

BROKER: Final = "punie_trace.engine.fleet.ray_broker"
GONE: Final = "the connection to the cluster was cut"
HOME_S: Final = 600.0
END_S: Final = 45.0

Message = TypeVar("Message")


class RayCluster:
    """A cluster, reached by way of a broker, which is there as long as anything of the run is.

    Raises `ConfigurationError` where Ray is not installed or the cluster cannot be reached, or has no room.
    """

    def __init__(self, settings: FleetSettings, run_id: str) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ConfigurationError("--ray needs Ray, which is not installed: pip install 'punie-trace[ray]'")
        self._settings = settings
        self._run_id = run_id
        self._address = settings.ray or "auto"
        self._posts: dict[int, RayPost] = {}
        self._answers: queue.Queue[object] = queue.Queue()
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._broker: ToldProcess | None = None
        self._nodes = 0

    def generators(self) -> Sequence[Post]:
        """As many as are asked for, on as many nodes as there are; without a number, one on each."""
        settings = self._settings
        if settings.place == "here":
            return Here(settings.generators or 1).generators()
        with self._asking:
            many = settings.generators or self._joined()
            self.send(Spread(many, GENERATOR, settings.join_timeout_s))
            return self._posts_of(self._answer(Placed))

    def on_node(self, node: str, module: str) -> Post:
        """A process of `module` on the node with the resource or the label `node`."""
        with self._asking:
            self._joined()
            self.send(PlaceOn(node, module, self._settings.join_timeout_s))
            (post,) = self._posts_of(self._answer(Placed))
            return post

    def send(self, message: object) -> None:
        """To the broker. Raises `OSError` where it is gone."""
        if self._broker is None:
            raise BrokenPipeError(GONE)
        self._broker.send(pickle.dumps(message))

    def ended(self, post: RayPost) -> None:
        """One post fewer; the broker ends with the last one, and another one is started where it is needed again."""
        with self._lock:
            self._posts.pop(post.placement.number, None)
            broker = self._broker if not self._posts else None
            if broker is not None:
                self._broker = None
        if broker is not None:
            broker.end()

    def _joined(self) -> int:
        """Join the cluster, where this is not done yet; returns how many nodes live in it."""
        if self._broker is None:
            self._answers = queue.Queue()
            broker = self._broker = ToldProcess(BROKER)
            threading.Thread(target=self._read, args=(broker, self._answers), name="broker", daemon=True).start()
            here = "" if self._settings.runtime_env else str(Path.cwd())
            self.send(Connect(self._address, self._run_id, here, self._settings.runtime_env))
            self._nodes = self._answer(Connected).nodes
        return self._nodes

    def _posts_of(self, placed: Placed) -> list[RayPost]:
        posts = [RayPost(self, placement) for placement in placed.placements]
        with self._lock:
            self._posts |= {post.placement.number: post for post in posts}
        return posts

    def _answer(self, kind: type[Message]) -> Message:
        """The broker's answer; it is ended where that is another one, or does not come in time."""
        limit_s = self._settings.join_timeout_s
        try:
            found = self._answers.get(timeout=limit_s + 10)
        except queue.Empty:
            found = Refused(f"no answer within {limit_s:g} s")
        if isinstance(found, kind):
            return found
        broker, self._broker = self._broker, None
        printed = broker.end() if broker is not None else ""
        problem = found.problem if isinstance(found, Refused) else GONE
        if kind is Connected:
            raise ConfigurationError(f"the Ray cluster at {self._address!r} cannot be reached: {problem}")
        raise ServerError(f"the Ray cluster at {self._address!r}: {problem}", printed if found is None else "")

    def _read(self, broker: ToldProcess, answers: queue.Queue[object]) -> None:
        while (data := broker.receive()) is not None:
            message = pickle.loads(data)  # noqa: S301 - from a process that we started
            match message:
                case Delivered():
                    self._hear(message.number, pickle.loads(message.data), message.at_ns)  # noqa: S301 - as above
                case Cut():
                    self._hear(message.number, Lost(message.reason), time.monotonic_ns())
                case Answered():
                    if (post := self._posts.get(message.number)) is not None:
                        post.answers.put(message.text)
                case _:
                    answers.put(message)
        answers.put(None)
        for post in list(self._posts.values()):
            post.answers.put(None)
            post.hear(Lost(f"{GONE}: {broker.how_it_ended()}"), time.monotonic_ns())

    def _hear(self, number: int, message: object, at_ns: int) -> None:
        for _ in range(100):  # it may be said before who listens is known
            if (post := self._posts.get(number)) is not None:
                post.hear(message, at_ns)
                return
            time.sleep(0.01)


class RayPost:
    """A process on a node; see `post.Post`."""

    def __init__(self, cluster: RayCluster, placement: Placement) -> None:
        self.placement = placement
        self.answers: queue.Queue[str | None] = queue.Queue()
        self._cluster = cluster
        self._heard: Heard | None = None
        self._early: list[tuple[object, int]] = []
        self._lock = threading.Lock()

    @property
    def where(self) -> str:
        """As `Post`."""
        return self.placement.where

    def hear(self, message: object, at_ns: int) -> None:
        """A message of the process, from the cluster."""
        with self._lock:
            if self._heard is None:
                self._early.append((message, at_ns))
                return
        self._heard(message, at_ns)

    def listen(self, heard: Heard) -> None:
        """As `Post`."""
        with self._lock:
            self._heard = heard
            early, self._early = self._early, []
        for message, at_ns in early:
            heard(message, at_ns)

    def send(self, message: object) -> None:
        """As `Post`."""
        self._cluster.send(Deliver(self.placement.number, pickle.dumps(message)))

    def folder(self, part: Path) -> str:
        """As `Post`: on that host's own disk."""
        return str(Path(self.placement.folder) / part.name)

    def bring_home(self, part: Path) -> str | None:
        """As `Post`."""
        folder = self.folder(part)
        problem = self._ask(BringHome(self.placement.number, folder, str(part.absolute())), HOME_S)
        if problem is None and Path(folder).is_dir():  # the cluster is gone, but both have that disk
            with suppress(OSError, shutil.Error):
                shutil.copytree(folder, part, dirs_exist_ok=True)
                remove_part(folder)
                return None
        return GONE if problem is None else problem or None

    def end(self) -> str:
        """As `Post`."""
        printed = self._ask(EndProcess(self.placement.number), END_S)
        self._cluster.ended(self)
        return printed or ""

    def _ask(self, message: object, limit_s: float) -> str | None:
        """The broker's answer; None where it is gone, or takes too long."""
        try:
            self._cluster.send(message)
            return self.answers.get(timeout=limit_s)
        except (OSError, queue.Empty):
            return None
