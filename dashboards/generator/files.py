"""The dashboards as the text of their files."""

from __future__ import annotations

import json
from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.generator.compare import compare_dashboard
from dashboards.generator.run import run_dashboard


def dashboard_files() -> dict[str, str]:
    """The JSON of each dashboard by the name of its file."""
    return {"compare.json": _text(compare_dashboard()), "run.json": _text(run_dashboard())}


def _text(board: Dashboard) -> str:
    values = json.loads(JSONEncoder().encode(board.build()))
    _clean(values)
    return json.dumps(values, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def _clean(board: dict[str, Any]) -> None:
    """Take out what the SDK sets by itself and Grafana 13's schema does not have, or that hides what is to be seen."""
    for variable in board["templating"]["list"]:
        for key in ("auto", "auto_count", "auto_min"):  # of intervals only
            variable.pop(key, None)
    for link in board["links"]:
        link.pop("placement", None)  # in a menu, where nobody looks for it
    for panel in board["panels"]:
        panel.get("options", {}).pop("footer", None)  # of tables before Grafana 12
