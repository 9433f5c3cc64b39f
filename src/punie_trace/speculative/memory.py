"""What drafters may know of earlier requests: the names of it, for requests and drafters alike. Loads nothing."""

from __future__ import annotations

from typing import Literal, TypeAlias

Memory: TypeAlias = Literal["request", "conversation", "server"]
"""Nothing; the requests whose whole text this one goes on from; all of the same salt."""
MEMORIES: tuple[Memory, ...] = ("request", "conversation", "server")
