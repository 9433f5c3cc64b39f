"""Grafana dashboards as code. `python -m dashboards.generator` writes the JSON that is committed in `dashboards/`.

It needs `grafana-foundation-sdk`, which is a dependency of development only: who looks at dashboards needs the JSON.
"""
