"""Looking for texts in a dump of a database, whatever they were encoded to on the way.

A text is looked for as it is, in any case, as hexadecimal digits, in base64 at each of its three
offsets (both alphabets), percent-encoded, and escaped as in JSON; in the dump's own text, and in
all that the dump writes as hexadecimal bytes (bytea), decoded once more.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus
from uuid import UUID

from config.postgres_install import installations

_COPY = re.compile(r"^COPY ([a-z_]+\.[a-z_]+) ", re.MULTILINE)
_BYTES = re.compile(r"\\\\x([0-9a-f]{8,})")
# Shorter than this, what is left of a text between two offsets would be found by chance.
_SHORTEST = 8


def dump_of(database_url: str) -> str:
    """Return a full dump, data and all, as a superuser sees it."""
    for found in installations():
        program = found.root / "bin" / "pg_dump"
        if os.access(program, os.X_OK):
            break
    else:
        found_there = shutil.which("pg_dump")
        assert found_there, "there is no pg_dump"
        program = Path(found_there)
    done = subprocess.run(
        [str(program), "--dbname", database_url], capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def tables_of(dump: str) -> dict[str, str]:
    """Return a dump's parts by the table whose rows they are; all the rest is "schema"."""
    parts = {"schema": ""}
    begun, last = [(m.start(), m.group(1)) for m in _COPY.finditer(dump)], 0
    for start, table in begun:
        end = dump.index("\n\\.\n", start)
        parts["schema"] += dump[last:start]
        parts[table] = dump[start:end]
        last = end
    parts["schema"] += dump[last:]
    return parts


def found_in(part: str, sentinel: str | UUID) -> set[str]:
    """Return the forms in which a text, or a key, is in part of a dump."""
    hays = {"": part, " in bytes": "\n".join(map(_decoded, _BYTES.findall(part)))}
    folded = {where: hay.casefold() for where, hay in hays.items()}
    forms = set()
    for form, needle, exact in needles(sentinel):
        for where in hays:
            hay = (hays if exact else folded)[where]
            if (needle if exact else needle.casefold()) in hay:
                forms.add(form + where)
    return forms


def _decoded(digits: str) -> str:
    return bytes.fromhex(digits[: len(digits) // 2 * 2]).decode("latin-1")


def needles(sentinel: str | UUID) -> Iterator[tuple[str, str, bool]]:
    """Yield (form, text, whether its case matters) of each way a sentinel may be written."""
    text = str(sentinel)
    yield "plain", text, False
    yield "plain, as bytes", text.encode().decode("latin-1"), False
    yield "percent", quote(text, safe=""), False
    yield "percent, plus", quote_plus(text), False
    escaped = json.dumps(text)[1:-1]
    yield "JSON", escaped, False
    yield "JSON in a dump", escaped.replace("\\", "\\\\"), False
    yield "JSON twice", json.dumps(escaped)[1:-1], False
    spellings = {text, text.lower(), text.upper(), text.swapcase()}
    for spelling in sorted(spellings):
        yield "hex", spelling.encode().hex(), False
    contents = [spelling.encode() for spelling in sorted(spellings)]
    if isinstance(sentinel, UUID):
        yield "hex", sentinel.hex, False
        contents.append(sentinel.bytes)
    for content in contents:
        for offset in range(3):
            for form, encoded in _base64(content, offset):
                yield f"{form} at {offset}", encoded, True


def _base64(content: bytes, offset: int) -> Iterator[tuple[str, str]]:
    """Yield what of a content's base64 does not depend on what stands before and after it."""
    whole = b"\0" * offset + content
    first = -(-offset * 8 // 6)
    last = len(whole) * 8 // 6
    for form, encode in (
        ("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode),
    ):  # fmt: skip
        certain = encode(whole).decode()[first:last]
        assert len(certain) >= _SHORTEST
        yield form, certain
