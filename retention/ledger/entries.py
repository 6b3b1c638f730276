"""An entry's leaf: the bytes that are hashed, RFC 8785 (JSON Canonicalization Scheme) of

    {"v": 1, "id", "kind", "tenant": id or null, "at", "record": {..}, "commitments": {..}}

`at` is RFC 3339 in UTC, with microseconds. Of numbers, whole ones within +-(2^53 - 1) are numbers;
all others are texts, as PostgreSQL writes them: RFC 8785 knows doubles alone. What is larger or
deeper than anybody can be asked to read has `body_sha256`, over the body as PostgreSQL writes
it, in the place of record and commitments. So there is a leaf for whatever was entered, and the
same one each time.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import rfc8785

VERSION: Final = 1
MAX_BODY: Final = 1 << 16  # bytes
MAX_DEPTH: Final = 64
_MAX_WHOLE: Final = 2**53 - 1
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")

#: What `Entry.of` reads, from `tenure.ledger_entries` called e. It takes MAX_BODY as parameter.
COLUMNS = """
e.id::text, e.kind, e.tenant_id::text,
coalesce(to_char(e.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
         e.recorded_at::text),
CASE WHEN octet_length(b.content) <= %(max_body)s THEN b.content END,
CASE WHEN octet_length(b.content) > %(max_body)s
     THEN encode(sha256(convert_to(b.content, 'UTF8')), 'hex') END
"""
FROM = "tenure.ledger_entries e CROSS JOIN LATERAL (SELECT e.body::text OFFSET 0) AS b(content)"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as the database has it. `body` is its JSON text; None where it is too large, and
    `digest` is that text's SHA-256 in hexadecimal digits."""

    id: str
    kind: str
    tenant: str | None
    at: str
    body: str | None
    digest: str | None = None

    @classmethod
    def of(cls, row: Sequence[Any]) -> Entry:
        """Return the entry of a row of COLUMNS."""
        return cls(*row)

    def leaf(self) -> bytes:
        """Return the bytes that are hashed."""
        leaf: dict[str, Any] = {
            "v": VERSION, "id": self.id, "kind": self.kind, "tenant": self.tenant, "at": self.at,
        }  # fmt: skip
        body = None
        if self.body is not None and not _is_deep(self.body):
            body = json.loads(self.body, parse_int=_whole, parse_float=str)
        if isinstance(body, dict):
            leaf |= {"record": body.get("record"), "commitments": body.get("commitments")}
        else:
            digest = self.digest or hashlib.sha256((self.body or "").encode()).hexdigest()
            leaf["body_sha256"] = digest
        return canonical(leaf)


def canonical(value: Any) -> bytes:
    """Return RFC 8785 of objects, arrays, texts, whole numbers within 2^53, true, false, null."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    if not text.isascii() and _ASTRAL.search(text):
        # Names are sorted by UTF-16's units, which is another order beyond the first plane.
        return rfc8785.dumps(value)
    return text.encode()


def _whole(text: str) -> int | str:
    if len(text) > 17:
        return text
    number = int(text)
    return number if abs(number) <= _MAX_WHOLE else text


def _is_deep(body: str) -> bool:
    if body.count("{") + body.count("[") <= MAX_DEPTH:
        return False
    depth = 0
    for found in _TOKENS.findall(body):
        if found in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif found in "]}":
            depth -= 1
    return False
