"""API tokens and roles."""

from __future__ import annotations

import io

import pytest

from api.wiring import owner_of
from tenants import registry

NEW = {"number": "1", "name": "x", "country": "France"}


def test_roles_write_or_only_read(acme) -> None:
    customer = acme.customer("0")
    path = f"/v1/customers/{customer['id']}"
    for role, status in (("owner", 201), ("member", 201), ("viewer", 403)):
        created = acme.call("POST", "/v1/customers", role=role, json={**NEW, "number": role})
        assert created.status_code == status
        assert acme.call("GET", path, role=role).status_code == 200
    for method, target in (
        ("PATCH", path),
        ("DELETE", path),
        ("PATCH", "/v1/customers?id=not.is.null"),
        ("DELETE", "/v1/customers?id=not.is.null"),
    ):
        refused = acme.call(method, target, role="viewer", json={"name": "y"})
        assert (refused.status_code, refused.json["code"]) == (403, "42501")
    assert acme.get("/v1/customers?name=eq.y").json == []


def test_a_viewer_is_told_nothing_about_rows_by_trying_to_write(acme) -> None:
    missing = "/v1/customers/018f3c1e-7b5a-7c3d-9e2f-0123456789ab"
    there = f"/v1/customers/{acme.customer()['id']}"
    answers = {acme.call("DELETE", path, role="viewer").status_code for path in (missing, there)}
    assert answers == {403}


def test_a_revoked_token_ends_at_once(service) -> None:
    acme = service.acme
    assert acme.get("/v1/customers").status_code == 200
    with owner_of(service.installation.settings) as owner, owner.transaction(None) as cursor:
        registry.revoke_token(cursor, acme.token_ids["owner"])
    refused = acme.get("/v1/customers")
    assert (refused.status_code, refused.json["code"]) == (401, "PGRST301")
    assert "invalid_token" in refused.headers["WWW-Authenticate"]
    assert acme.call("GET", "/v1/customers", role="member").status_code == 200


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tenure.api_tokens SET expires_at = now() - interval '1 second' WHERE id = %s",
        "UPDATE tenure.logins SET disabled_at = now() WHERE id ="
        " (SELECT login_id FROM tenure.api_tokens WHERE id = %s)",
    ],
)
def test_an_expired_token_and_a_disabled_logins_are_none(service, owner_sql, statement) -> None:
    acme = service.acme
    owner_sql(statement, (str(acme.token_ids["owner"]),))
    assert acme.get("/v1/customers").status_code == 401


def test_who_is_shut_out_while_the_body_comes_in_writes_nothing(service) -> None:
    acme = service.acme

    class Slow(io.BytesIO):
        """A body that takes its time: the token is revoked before it comes."""

        def _wait(self) -> None:
            settings = service.installation.settings
            if self.tell() == 0:
                with owner_of(settings) as owner, owner.transaction(None) as cursor:
                    registry.revoke_token(cursor, acme.token_ids["member"])

        def read(self, size=-1) -> bytes:
            self._wait()
            return super().read(size)

        def readinto(self, buffer) -> int:
            self._wait()
            return super().readinto(buffer)

    body = b'{"number": "1", "name": "x", "country": "France"}'
    refused = acme.client.post(
        "/v1/customers", input_stream=Slow(body), content_length=len(body),
        content_type="application/json", headers=acme.headers("member"),
    )  # fmt: skip
    assert refused.status_code == 401
    assert acme.get("/v1/customers").json == []
