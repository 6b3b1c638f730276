"""Small decisions of the edge: when a cookie is Secure, which password is right."""

from __future__ import annotations

import pytest
from werkzeug import Request
from werkzeug.test import EnvironBuilder

from api.auth.identity import cookie_secure
from api.auth.passwords import MAX_LENGTH, check_password, hash_password
from api.responses import content_range


@pytest.mark.parametrize(
    ("base_url", "secure"),
    [
        ("http://localhost", False),
        ("http://localhost:8000", False),
        ("http://127.0.0.1:8000", False),
        ("http://[::1]:8000", False),
        ("http://[::1]", False),
        ("https://localhost", True),
        ("http://acme.example", True),
        ("http://localhost.evil.example", True),
        ("https://acme.example", True),
    ],
)
def test_cookies_are_secure_everywhere_but_here(base_url, secure) -> None:
    request = Request(EnvironBuilder(base_url=base_url).get_environ())
    assert cookie_secure(request) is secure


def test_a_password_is_right_only_against_its_own_hash() -> None:
    stored = hash_password("é" * 10)
    assert stored.startswith("$argon2id$")
    assert check_password(stored, "é" * 10)
    assert not check_password(stored, "e" * 10)
    assert not check_password(None, "nobody's password")
    assert not check_password("no hash at all", "x")
    assert not check_password(stored, "x" * (MAX_LENGTH + 1))


@pytest.mark.parametrize(
    ("first", "count", "total", "text"),
    [
        (0, 25, 3573, "0-24/3573"),
        (0, 25, None, "0-24/*"),
        (0, 0, 0, "*/0"),
        (5, 0, None, "*/*"),
        (1, 0, 7, "*/7"),
    ],
)
def test_content_ranges(first, count, total, text) -> None:
    assert content_range(first, count, total) == text
