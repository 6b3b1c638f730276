"""Requests that get nowhere: no credentials, wrong ones, nothing there."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer tnr_short",
        "Bearer tnr_" + "a" * 43,
        "Bearer tnr_" + "a" * 5000,
        "Bearer tnr_" + "é" * 43,
        "Bearer ' OR true --",
        "Basic dXNlcjpwYXNz",
    ],
)
def test_what_is_no_token_is_401(stocked, authorization) -> None:
    client = stocked.app.test_client()
    response = client.get("/v1/customers", headers={"Authorization": authorization})
    assert (response.status_code, response.json["code"]) == (401, "PGRST301")


def test_without_any_credentials_nothing_is_told(stocked) -> None:
    client = stocked.app.test_client()
    for path in ("/v1/customers", "/v1/no-such-resource", "/v1/customers?nothing=eq.1"):
        response = client.get(path)
        assert (response.status_code, response.json["code"]) == (401, "PGRST302")
        assert response.headers["WWW-Authenticate"] == "Bearer"


def test_unknown_resources_and_paths_are_404(stocked) -> None:
    for path, code in (
        ("/v1/no-such-resource", "PGRST205"),
        ("/v1/imported_files", "PGRST205"),
        ("/v1/rpc/tenure.set_tenant", "PGRST205"),
        ("/v1/", "not_found"),
        ("/nothing", "not_found"),
    ):
        response = stocked.acme.get(path)
        assert (response.status_code, response.json["code"]) == (404, code), path
