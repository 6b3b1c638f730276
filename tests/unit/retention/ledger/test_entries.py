"""Leaves: RFC 8785 for whatever PostgreSQL may hold, the same bytes each time."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from retention.ledger.entries import MAX_DEPTH, Entry, canonical

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def entry(body: str | None, digest: str | None = None) -> Entry:
    return Entry("e", "batch", None, "2026-11-20T12:00:00.000001Z", body, digest)


@given(VALUES)
def test_what_is_canonical_is_what_the_library_says(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


def test_names_beyond_the_first_plane_are_sorted_by_utf16() -> None:
    value = {"\ue000": 1, "\U0001f600": 2}
    assert canonical(value) == rfc8785.dumps(value) == '{"😀":2,"\ue000":1}'.encode()


def test_a_leaf_is_these_bytes() -> None:
    body = '{"record": {"b": null, "a": [1, "x"]}, "commitments": {"reason": "ff"}}'
    made = Entry("1-2", "hold", "t", "2026-11-20T12:00:00.000001Z", body)
    assert made.leaf() == (
        b'{"at":"2026-11-20T12:00:00.000001Z","commitments":{"reason":"ff"},"id":"1-2",'
        b'"kind":"hold","record":{"a":[1,"x"],"b":null},"tenant":"t","v":1}'
    )


@pytest.mark.parametrize(
    ("number", "written"),
    [
        ("9007199254740991", 9007199254740991),
        ("-9007199254740991", -9007199254740991),
        ("9007199254740992", "9007199254740992"),
        ("9" * 5000, "9" * 5000),
        ("0.10", "0.10"),
        ("-0.0000000000000000001", "-0.0000000000000000001"),
        ("1.5e300", "1.5e300"),
    ],
)
def test_numbers_that_a_double_cannot_hold_are_texts(number: str, written: object) -> None:
    leaf = entry(f'{{"record": {{"n": {number}}}, "commitments": {{}}}}').leaf()
    assert json.loads(leaf)["record"]["n"] == written


@pytest.mark.parametrize(
    "body",
    [
        '{"record": ' + "[" * 100_000 + "]" * 100_000 + ', "commitments": {}}',
        '{"record": ' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + ', "commitments": {}}',
        '["record", "commitments"]',
    ],
)
def test_what_nobody_could_be_asked_to_read_enters_as_its_digest(body: str) -> None:
    leaf = json.loads(entry(body).leaf())
    assert leaf["body_sha256"] == hashlib.sha256(body.encode()).hexdigest()
    assert "record" not in leaf
    assert json.loads(entry(None, "ab").leaf())["body_sha256"] == "ab"


def test_brackets_in_texts_are_no_depth() -> None:
    body = json.dumps({"record": {"x": '["\\' * 200}, "commitments": {}})
    assert json.loads(entry(body).leaf())["record"] == {"x": '["\\' * 200}
