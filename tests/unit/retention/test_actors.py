"""Two logins are two people, so are two names of accounts; one of each may be one person."""

from __future__ import annotations

import pytest

from retention.actors import is_another

ADA = "login:01a1f8b0-40cf-765f-99aa-7eac363e7fc8"
BOB = "login:01a1f8b0-40cf-765f-99aa-7eac363e7fc9"


@pytest.mark.parametrize(
    ("one", "other", "another"),
    [
        (ADA, ADA, False),
        (ADA, BOB, True),
        ("command:ada", "command:ada", False),
        ("command:ada", "command:bob", True),
        (ADA, "command:ada", False),
        (ADA, "command:bob", False),
        ("ada", "bob", True),
        ("ada", "ada", False),
        ("ada", "command:bob", False),
        ("login", "login:x", False),
        ("", ADA, False),
    ],
)
def test_whether_two_actors_are_shown_to_be_two(one: str, other: str, another: bool) -> None:
    assert is_another(one, other) is another
    assert is_another(other, one) is another
