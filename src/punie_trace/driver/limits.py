"""How long a query may take, and how a worker notices that its configuration has failed."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the driver. `query_timeout_s` counts from the sending of a query to its answer."""

    concurrency: int = 1
    query_timeout_s: float = 300.0


@dataclass(slots=True)
class Failures:
    """Configurations that can no longer be asked, and why. Queries still planned for them are skipped."""

    reasons: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)

    def add(self, configuration: str, reason: str) -> bool:
        """Marks a configuration as failed; True if it was not so already."""
        if configuration in self.reasons:
            return False
        self.reasons[configuration] = reason
        return True

    def skips(self, configuration: str) -> bool:
        """Whether a query of this configuration must be left out; counts it if so."""
        if configuration not in self.reasons:
            return False
        self.skipped[configuration] = self.skipped.get(configuration, 0) + 1
        return True
