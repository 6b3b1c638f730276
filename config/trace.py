"""Trace ids as W3C Trace Context has them (https://www.w3.org/TR/trace-context/)."""

import re
import secrets
from typing import NewType

TraceId = NewType("TraceId", str)
"""32 lowercase hexadecimal digits, not all zero."""

_FIELDS = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE = "0" * 32
_NO_PARENT = "0" * 16


def new_trace_id() -> TraceId:
    """A fresh random trace id."""
    while True:
        trace_id = secrets.token_hex(16)
        if trace_id != _NO_TRACE:
            return TraceId(trace_id)


def new_span_id() -> str:
    """A fresh random span id: 16 lowercase hexadecimal digits, not all zero."""
    while True:
        span_id = secrets.token_hex(8)
        if span_id != _NO_PARENT:
            return span_id


def parse_traceparent(header: str | None) -> TraceId | None:
    """The trace id in a `traceparent` header, or None where the header is missing or invalid.

    Strict as the specification asks: lowercase, no version ff, no zero ids, and nothing
    after the flags in version 00. Of a later version the known part is read.
    """
    match = _FIELDS.fullmatch(header or "")
    if match is None:
        return None
    version, trace_id, parent, _flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest is not None):
        return None
    if trace_id == _NO_TRACE or parent == _NO_PARENT:
        return None
    return TraceId(trace_id)
