"""Writes the dashboards into a folder: `python -m dashboards.generator [FOLDER]`, by default `dashboards`."""

from __future__ import annotations

import sys
from pathlib import Path

from dashboards.generator.files import dashboard_files


def main() -> None:
    """Write every dashboard as JSON, in place of what was there."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "dashboards")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in dashboard_files().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
