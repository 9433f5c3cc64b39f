from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from punie_trace.analysis import salt_findings as module
from punie_trace.analysis.salt_findings import salt_findings
from punie_trace.runs.header import RunHeader


def seen(monkeypatch: pytest.MonkeyPatch, fresh: str, *shares: tuple[float | None, ...]) -> list[str]:
    """The findings of one configuration; for each query the cached shares of its generations."""
    monkeypatch.setattr(module, "settings_of", lambda header, name: {"fresh": fresh})
    queries = [SimpleNamespace(splits=[SimpleNamespace(cached_share=share) for share in query]) for query in shares]
    return list(salt_findings(cast("RunHeader", None), cast("Any", {"theirs": queries})))


def test_a_server_that_answers_from_its_cache_despite_the_salts_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    (finding,) = seen(monkeypatch, "salt", (0.9, 0.9), (0.0, 0.8), (0.5,))
    assert finding.startswith("theirs answered the first generation of 2 of 3 queries from its prompt cache")
    assert "does not heed cache_salt" in finding


def test_later_generations_find_what_came_before_them_in_the_query(monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen(monkeypatch, "salt", (0.0, 0.9), (0.0,)) == []


def test_what_counts_no_cached_tokens_cannot_be_seen_to_heed_them(monkeypatch: pytest.MonkeyPatch) -> None:
    (finding,) = seen(monkeypatch, "salt", (None,), (None, None))
    assert "not observable" in finding


def test_without_salts_there_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen(monkeypatch, "restart", (0.9,)) == []
    assert seen(monkeypatch, "salt") == []
