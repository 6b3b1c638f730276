"""The auditors' pages: the evidence, server-rendered, and the same as JSON and CSV."""

from __future__ import annotations

from api.console.views import console_blueprint

__all__ = ["console_blueprint"]
