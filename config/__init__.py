"""The lowest floor: settings, secrets, logs, metrics, the clock, the embedded PostgreSQL.

This package imports nothing by itself, so that the linter, which is installed
without pydantic, structlog and prometheus-client, may import `config.errors`.
"""
