"""Which answer each error gets."""

from __future__ import annotations

import peewee
import psycopg2
import pytest

from api.problems import problem_of
from retention.errors import HeldError
from tenants.errors import (
    MissingParentError,
    NoTenantError,
    PoolTimeoutError,
    StaleObjectError,
    TenantMismatchError,
    UnscopableError,
)

LEAK = 'duplicate key value violates unique constraint "shop_key" DETAIL: Key (a)=(secret)'


def driver_error(state: str | None, kind: type[psycopg2.Error] = psycopg2.Error) -> Exception:
    """Return an error as the driver raises it: its pgcode is read-only, so a subclass's."""
    return type("Raised", (kind,), {"pgcode": state})(LEAK)


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        ("23505", 409, "23505"),
        ("23503", 409, "23503"),
        ("23P01", 409, "23P01"),
        ("23514", 422, "23514"),
        ("23502", 422, "23502"),
        ("22P02", 400, "22000"),
        ("22003", 400, "22000"),
        ("40001", 503, "40001"),
        ("40P01", 503, "40P01"),
        ("55P03", 503, "55P03"),
        ("57014", 504, "57014"),
        ("57P01", 503, "busy"),
        ("53300", 503, "busy"),
        ("08006", 503, "busy"),
        ("42501", 500, "internal"),
        ("42703", 500, "internal"),
        ("XX000", 500, "internal"),
    ],
)
def test_each_sqlstate_has_its_answer_and_leaks_nothing(state, status, code) -> None:
    raised = driver_error(state)
    for error in (raised, peewee.IntegrityError(raised, LEAK)):
        problem = problem_of(error)
        assert (problem.status, problem.code) == (status, code)
        shown = f"{problem.message} {problem.details} {problem.hint}"
        assert "secret" not in shown
        assert "shop" not in shown
        if status == 503:
            assert problem.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (psycopg2.OperationalError("connection to server at 10.0.0.1 failed"), 503, "busy"),
        (peewee.OperationalError("server closed the connection"), 503, "busy"),
        (peewee.InterfaceError("x"), 500, "internal"),
        (psycopg2.InterfaceError("cursor already closed"), 503, "busy"),
        (peewee.InterfaceError(psycopg2.InterfaceError("closed"), "closed"), 503, "busy"),
        (PoolTimeoutError("x"), 503, "busy"),
        (HeldError("tenant 1 is under hold m-7"), 409, "held"),
        (MissingParentError("parent_id refers to it"), 409, "23503"),
        (StaleObjectError("Customer 7 is gone"), 404, "not_found"),
        (NoTenantError("x"), 500, "internal"),
        (TenantMismatchError("x"), 500, "internal"),
        (UnscopableError("x"), 500, "internal"),
        (KeyError("secret"), 500, "internal"),
    ],
)
def test_each_error_of_ours_has_its_answer(error, status, code) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.code) == (status, code)
    assert str(error) not in f"{problem.message} {problem.details}"
