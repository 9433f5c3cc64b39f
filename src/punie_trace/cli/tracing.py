"""Where a run's spans go, opened and closed as one: the file always, a collector and Logfire where there is one."""

from __future__ import annotations
