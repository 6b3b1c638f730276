"""Who calls, behind as many proxies as the setting says and no more."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from api.app import create_app
from api.wiring import open_installation
from retention.holds import pass_gate


@pytest.mark.parametrize(
    ("hops", "forwarded", "address"),
    [
        ("0", "203.0.113.9", "127.0.0.1"),
        ("1", "203.0.113.9", "203.0.113.9"),
        ("1", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("2", "6.6.6.6, 203.0.113.9, 10.0.0.1", "203.0.113.9"),
        ("2", "203.0.113.9", "127.0.0.1"),
    ],
)
def test_the_callers_address_is_what_the_outermost_trusted_proxy_saw(
    service: Any, cluster: Any, hops: str, forwarded: str, address: str
) -> None:
    database = service.installation.settings.database_url.rsplit("/", 1)[1]
    settings = cluster.settings(database, TENURE_TRUSTED_PROXIES=hops)
    installation = open_installation(settings)
    try:
        app = create_app(installation, write_guard=partial(pass_gate, installation.app))
        seen: list[tuple[str | None, str, str]] = []

        @app.before_request
        def look() -> None:
            from flask import request

            seen.append((request.remote_addr, request.scheme, request.host))

        app.test_client().get(
            "/healthz",
            headers={
                "X-Forwarded-For": forwarded,
                "X-Forwarded-Proto": "https, https, https",
                "X-Forwarded-Host": "evil.example",
            },
        )
    finally:
        installation.close()
    scheme = "https" if hops != "0" else "http"
    assert seen == [(address, scheme, "localhost")]
