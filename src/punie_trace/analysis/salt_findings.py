"""Whether a server kept queries apart by their cache salts (`fresh = "salt"`), as its token counts tell. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from punie_trace.analysis.observations import Observation
from punie_trace.analysis.served_by import settings_of
from punie_trace.runs.header import RunHeader


def salted(header: RunHeader, configuration: str) -> bool:
    """Whether each of its queries brought a salt of its own, so that it shares no prompt cache with others."""
    return settings_of(header, configuration).get("fresh") == "salt"


def salt_findings(header: RunHeader, observed: Mapping[str, Sequence[Observation]]) -> Iterator[str]:
    """Of configurations with salts, those whose server did not heed them, or cannot be seen to.

    The first generation of a query finds nothing in a prompt cache that its own salt keeps apart; later ones find what
    came before them in the query.
    """
    for name, observations in observed.items():
        if not salted(header, name):
            continue
        first = [one.splits[0].cached_share for one in observations if one.splits]
        known = [share for share in first if share is not None]
        warm = sum(share > 0 for share in known)
        if warm:
            yield (
                f"{name} answered the first generation of {warm} of {len(known)} queries from its prompt cache, though "
                "each query had a salt of its own: its server does not heed cache_salt, and what it remembers is in "
                "its speed (fresh = 'restart' starts it anew in each round)"
            )
        elif first and not known:
            yield (
                f"{name}: its server counts no cached tokens, so that whether it keeps queries apart by their salts is "
                "not observable; if it does not, what it remembers is in its speed"
            )
