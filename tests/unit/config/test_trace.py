"""Trace ids, strictly as W3C Trace Context has them."""

import re

import pytest

from config.trace import new_trace_id, parse_traceparent

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def test_new_ids_are_valid_and_differ() -> None:
    made = {new_trace_id() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in made)
    assert parse_traceparent(f"00-{new_trace_id()}-{SPAN}-01") is not None


@pytest.mark.parametrize(
    "header",
    [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-ff", f"cc-{TRACE}-{SPAN}-01",
     f"cc-{TRACE}-{SPAN}-01-what-the-future-brings"],
)  # fmt: skip
def test_valid_headers_give_their_trace_id(header: str) -> None:
    assert parse_traceparent(header) == TRACE


@pytest.mark.parametrize(
    "header",
    [None, "", TRACE, f"00-{TRACE.upper()}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01",
     f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-{SPAN}-01-more",
     f"00-{TRACE}-{SPAN}-1", f"0-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01.more",
     f" 00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01\n", f"00-{TRACE[:-1]}-{SPAN}-01"],
)  # fmt: skip
def test_invalid_headers_give_none(header: str | None) -> None:
    assert parse_traceparent(header) is None
