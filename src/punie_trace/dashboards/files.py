"""The dashboards as the text of their files."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from punie_trace.dashboards.compare import compare_dashboard
from punie_trace.dashboards.run import run_dashboard


def dashboard_files() -> dict[str, str]:
    """The JSON of each dashboard by the name of its file."""
    return {"compare.json": _text(compare_dashboard()), "run.json": _text(run_dashboard())}


def _text(board: Dashboard) -> str:
    return JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(board.build()) + "\n"
