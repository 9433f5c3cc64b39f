"""Nine prompts for a pretrained model, as agents send them: code, search results and logs to quote, and prose."""

from __future__ import annotations

from pathlib import Path

from punie_trace.suite.load import sample_workspace

_SEARCH = """3 matches in 2 files
src/billing/invoice.py
14: class InvoiceError(ValueError):
52:     raise InvoiceError(f"no customer for invoice {number}")
src/billing/ledger.py
31: except InvoiceError as error:"""
_LOG = """2026-11-02 10:14:07 INFO  worker-3 took job 8841 (resize, 2.1 MB)
2026-11-02 10:14:09 ERROR worker-3 job 8841 failed: cannot open /data/in/8841.png (No such file or directory)
2026-11-02 10:14:09 INFO  worker-3 took job 8842 (resize, 0.4 MB)
2026-11-02 10:14:10 INFO  worker-3 finished job 8842 in 0.8 s"""
_JSON = (
    '{"name": "orders", "columns": [{"name": "id", "type": "integer"}, {"name": "customer_id", "type": "integer"}, '
    '{"name": "placed_at", "type": "timestamp"}, {"name": "total", "type": "numeric"}]}'
)


def prompts() -> dict[str, str]:
    """Name and question."""
    source = _function(sample_workspace())
    return {
        "repeat-code": f"Repeat this Python code exactly:\n\n```python\n{source}\n```",
        "rename": f"Rewrite this code with all names in upper case, change nothing else:\n\n```python\n{source}\n```",
        "explain-code": f"Explain what this code does, step by step:\n\n```python\n{source}\n```",
        "search": f"A search for InvoiceError returned:\n\n{_SEARCH}\n\nWhere is InvoiceError raised? Quote the line.",
        "log": f"Here is a log:\n\n{_LOG}\n\nWhich job failed, and why? Quote the line of the log.",
        "json": f"Turn this description into a CREATE TABLE statement:\n\n{_JSON}",
        "list-columns": f"List the names of the columns, one a line:\n\n{_JSON}",
        "concept": "What is the difference between a thread and a process?",
        "story": "Write a short story about a lighthouse keeper who repairs clocks.",
    }


def _function(workspace: Path) -> str:
    """Some lines of code of the sample code base."""
    files = sorted(path for path in workspace.rglob("*.py") if path.stat().st_size > 800)
    return "\n".join(files[0].read_text(encoding="utf-8").splitlines()[:28])
