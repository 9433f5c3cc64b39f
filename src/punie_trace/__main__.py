"""`python -m punie_trace`: the same as the `punie-trace` command."""

from __future__ import annotations

from punie_trace.cli.main import main

if __name__ == "__main__":
    main()
