"""What foreign servers count of themselves, between two looks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.servers.families import family_rows
from punie_trace.servers.own_metrics import Counters, parse_counters, read_counters
from punie_trace.testing import Reply, Script, scripted_server

PAGE = Path(__file__).parents[2] / "docs" / "servers.md"
VLLM = """# HELP vllm:spec_decode_num_drafts_total Number of spec decoding drafts.
# TYPE vllm:spec_decode_num_drafts_total counter
vllm:spec_decode_num_drafts_total{{engine="0",model_name="m"}} {drafts}
vllm:spec_decode_num_draft_tokens_total{{engine="0",model_name="m"}} {drafted}
vllm:spec_decode_num_accepted_tokens_total{{engine="0",model_name="m"}} {accepted}
vllm:prefix_cache_queries_total{{engine="0",model_name="a b"}} {asked}
vllm:prefix_cache_hits_total{{engine="0",model_name="a b"}} {hits}
vllm:request_queue_time_seconds_bucket{{le="0.3",model_name="m"}} 5.0
vllm:request_queue_time_seconds_sum{{model_name="m"}} {queue}
vllm:request_queue_time_seconds_count{{model_name="m"}} {count}
process_open_fds 40.0
"""
BEFORE = VLLM.format(drafts=10, drafted=40, accepted=10, asked=100, hits=0, queue=1.0, count=10)
AFTER = VLLM.format(drafts=30, drafted=100, accepted=55, asked=1100, hits=250, queue=1.5, count=20)


def counters(text: str) -> Counters:
    found = parse_counters(text)
    assert found is not None
    return found


def test_vllms_counters_between_two_looks() -> None:
    assert counters(AFTER).since(counters(BEFORE)) == (
        "vLLM counted itself (its /metrics, warm-up included): 75% of 60 drafted tokens were accepted, mean length "
        "3.25, 25% of prompt tokens came from its prefix cache, mean queue 50 ms"
    )


def test_llama_cpps_counters() -> None:
    before = "llamacpp:prompt_seconds_total 1\nllamacpp:tokens_predicted_seconds_total 2.5\nllamacpp:kv_cache 0.5\n"
    after = "llamacpp:prompt_seconds_total 3\nllamacpp:tokens_predicted_seconds_total 10\nllamacpp:kv_cache 0.5\n"
    assert counters(after).since(counters(before)) == (
        "llama.cpp counted itself (its /metrics, warm-up included): prefill 2.0 s in all, decode 7.5 s in all"
    )


def test_a_server_that_was_begun_anew_counts_for_nothing() -> None:
    assert counters(BEFORE).since(counters(AFTER)) is None
    assert counters(AFTER).since(None) is None


def test_counters_are_summed_over_their_labels() -> None:
    two = 'vllm:prefix_cache_hits_total{engine="0"} 2\nvllm:prefix_cache_hits_total{engine="1"} 3 1712000000\n'
    assert counters(two).values == {"vllm:prefix_cache_hits": 5.0}


@pytest.mark.parametrize("text", ["", "go_goroutines 3", "<html>"])
def test_other_servers_have_none(text: str) -> None:
    assert parse_counters(text) is None


@given(st.text(st.characters() | st.sampled_from("{}\n ")))
def test_any_page_is_read(text: str) -> None:
    counters(f"vllm:x 1\nvllm:{text}").since(counters("vllm:x 1"))


@pytest.mark.anyio
async def test_counters_are_read_beside_the_api() -> None:
    pages = {"/metrics": Reply(body=AFTER, content_type="text/plain")}
    async with scripted_server(Script(pages=pages)) as server:
        found = await read_counters(server.base_url, "key")
    assert found is not None
    assert found.family == "vLLM"
    async with scripted_server(Script()) as server:
        assert await read_counters(server.base_url, None) is None
    assert await read_counters(server.base_url, None) is None, "nothing runs there any more"


def test_the_page_shows_the_table_of_families() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for row in family_rows():
        assert f"| {' | '.join(row)} |" in text, row[0]
