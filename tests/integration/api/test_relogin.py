"""Who logs in anew leaves no session behind that somebody may have kept."""

from __future__ import annotations

from .test_sessions import ann, log_in  # noqa: F401 - a fixture


def test_a_new_login_ends_the_session_that_its_browser_had(service, ann) -> None:  # noqa: F811
    former = ann.get_cookie("tenure_session").value
    thief = service.app.test_client()
    thief.set_cookie("tenure_session", former)
    assert thief.get("/v1/customers").status_code == 200
    assert log_in(ann, "ann@acme.example").status_code == 200
    assert ann.get("/v1/customers").status_code == 200
    assert thief.get("/v1/customers").status_code == 401


def test_a_login_that_fails_ends_nothing(service, ann) -> None:  # noqa: F811
    assert log_in(ann, "ann@acme.example", "wrong").status_code == 401
    assert ann.get("/v1/customers").status_code == 200
