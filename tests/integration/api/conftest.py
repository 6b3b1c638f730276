"""The application on a real database, with two tenants that mirror each other."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.app import create_app
from api.cli.serve import SERVING
from api.wiring import Installation, connections_of, owner_of
from retention.holds import pass_gate
from tenants import registry
from tenants.context import TenantId


@dataclass(frozen=True)
class Tenant:
    """A tenant with a token and a login per role."""

    id: TenantId
    slug: str
    tokens: dict[str, str]
    token_ids: dict[str, uuid.UUID]
    client: FlaskClient = field(repr=False)

    def headers(self, role: str = "owner", **more: str) -> dict[str, str]:
        """Return the headers of a request of this tenant's."""
        return {
            "Authorization": f"Bearer {self.tokens[role]}",
            **{name.replace("_", "-"): value for name, value in more.items()},
        }

    def call(self, method: str, path: str, *, role: str = "owner", json: Any = None, **more: str):
        """Send a request as this tenant; header names with underscores."""
        return self.client.open(path, method=method, json=json, headers=self.headers(role, **more))

    def get(self, path: str, **more: str):
        return self.call("GET", path, **more)

    def create(self, resource: str, **row: Any) -> dict[str, Any]:
        """Create a row and return it as shown."""
        response = self.call("POST", f"/v1/{resource}", json=row, Prefer="return=representation")
        assert response.status_code == 201, response.text
        return response.json[0]

    def customer(self, number: str = "1", **more: Any) -> dict[str, Any]:
        row = {"number": number, "name": f"Customer {number}", "country": "France", **more}
        return self.create("customers", **row)

    def invoice(self, number: str = "1", **more: Any) -> dict[str, Any]:
        row = {"number": number, "issued_at": "2026-01-31T12:00:00Z", **more}
        return self.create("invoices", **row)


@dataclass(frozen=True)
class Service:
    """The application, and its two tenants."""

    app: Flask
    installation: Installation
    acme: Tenant
    globex: Tenant


def _tenant(installation: Installation, app: Flask, slug: str) -> Tenant:
    tokens, ids = {}, {}
    with owner_of(installation.settings) as owner, owner.transaction(None) as cursor:
        tenant_id = registry.create_tenant(cursor, slug=slug, name=slug.title())
        for role in registry.MEMBER_ROLES:
            login_id = registry.create_login(
                cursor, email=f"{role}@{slug}.example", password_hash="none"
            )
            registry.add_member(cursor, tenant_id=tenant_id, login_id=login_id, role=role)
            ids[role], tokens[role] = registry.issue_token(
                cursor, tenant_id=tenant_id, login_id=login_id, name=role
            )
    return Tenant(tenant_id, slug, tokens, ids, app.test_client(use_cookies=False))


def _service(installation: Installation) -> Service:
    # As `tenure serve` has it: there is nothing to connect as retention or the verifier with.
    settings = installation.settings.for_roles(*SERVING)
    serving = replace(
        installation,
        settings=settings,
        retention=connections_of(settings, "tenure_retention"),
        verifier=connections_of(settings, "tenure_verifier"),
    )
    app = create_app(serving, write_guard=partial(pass_gate, installation.app))
    return Service(
        app,
        installation,
        _tenant(installation, app, "acme"),
        _tenant(installation, app, "globex"),
    )


@pytest.fixture
def service(installation: Installation) -> Service:
    """The application on an empty database of its own."""
    return _service(installation)


@pytest.fixture(scope="module")
def stocked(installed: Installation) -> Service:
    """The application with twelve customers per tenant; its tests only read."""
    service = _service(installed)
    for tenant in (service.acme, service.globex):
        for n in range(1, 13):
            tenant.customer(
                f"{n:03}",
                name=f"{tenant.slug} {n}",
                email=None if n % 3 == 0 else f"c{n}@{tenant.slug}.example",
                country=("France", "Germany", "Norway")[n % 3],
            )
    return service


@pytest.fixture
def acme(service: Service) -> Tenant:
    return service.acme


@pytest.fixture
def globex(service: Service) -> Tenant:
    return service.globex
