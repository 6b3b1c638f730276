"""Reports of files that were judged before, by what they were judged from.

A key says everything that decides a report: the text, the configuration, the schema, and the code
of the linter itself. So an entry is never wrong, only unused.

The file lies in the user's own cache folder and not beside the sources: the gate must not believe
a file that a merge request can bring along. What is in it is data (JSON), never code, and each
entry carries a checksum. Whatever goes wrong with it costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sqlite3
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import blake2b
from pathlib import Path

# As many entries are kept, the latest ones; an entry is some hundred bytes a statement.
KEPT = 50_000
_LAYOUT = 1
_PATIENCE_S = 10.0
_BATCH = 500

Entry = tuple[bytes, bytes]
"""What a run needs of a file, and what only `--verdicts` and JSON show."""


@cache
def program() -> bytes:
    """A digest of what judges: the linter's code, the parser's version, the interpreter's."""
    here = Path(__file__).parent
    policies = here.parent / "tenants" / "policy_sql"
    files = [*sorted(here.rglob("*.py")), *sorted(policies.rglob("*.py"))]
    digest = blake2b(f"{_LAYOUT} {sys.version_info[:2]}".encode(), digest_size=16)
    parser = importlib.util.find_spec("sqlglot")
    if parser is not None and parser.origin is not None:
        files.append(Path(parser.origin).with_name("_version.py"))
    for file in files:
        with contextlib.suppress(OSError):
            digest.update(b"\0" + file.name.encode() + b"\0" + file.read_bytes())
    return digest.digest()


def key(context: bytes, kind: str, text: bytes) -> bytes:
    """The key of a text of some kind (its suffix) under a context: configuration and schema."""
    return blake2b(
        kind.encode() + b"\0" + text, digest_size=16, key=program() + context[:32]
    ).digest()


class Cache:
    """Entries in one SQLite file. Safe for several runs at once; no method raises."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def get(self, keys: Iterable[bytes], *, whole: bool) -> dict[bytes, Entry]:
        """The entries there are; without `whole` their second part is left empty."""
        found: dict[bytes, Entry] = {}
        wanted = list(keys)
        if not wanted or not self._file.is_file():
            return found
        columns = "key, head, body, headsum, bodysum" if whole else "key, head, '', headsum, ''"
        try:
            with contextlib.closing(self._connect()) as db:
                for at in range(0, len(wanted), _BATCH):
                    some = wanted[at : at + _BATCH]
                    marks = ",".join("?" * len(some))
                    # tenure: allow TS004 because it is SQLite, and this table is ours
                    rows = db.execute(
                        f"SELECT {columns} FROM entry WHERE key IN ({marks})",  # noqa: S608 - ours
                        some,
                    )
                    for name, head, body, head_sum, body_sum in rows:
                        if _sum(name, head) != head_sum or (whole and _sum(name, body) != body_sum):
                            continue
                        found[name] = (head, body or b"")
        except sqlite3.OperationalError:
            return {}  # busy, or nothing in it yet
        except (sqlite3.DatabaseError, TypeError):
            self._discard()
            return {}
        return found

    def put(self, entries: Mapping[bytes, Entry]) -> None:
        """Keep entries, and of all the latest ones."""
        if not entries:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.closing(self._connect()) as db, db:
                db.execute(
                    "CREATE TABLE IF NOT EXISTS entry (number INTEGER PRIMARY KEY, "
                    "key BLOB UNIQUE, head BLOB, body BLOB, headsum BLOB, bodysum BLOB)"
                )
                # tenure: allow TS005 because it is SQLite
                db.executemany(
                    "INSERT OR REPLACE INTO entry (key, head, body, headsum, bodysum) "
                    "VALUES (?, ?, ?, ?, ?)",
                    [
                        (name, head, body, _sum(name, head), _sum(name, body))
                        for name, (head, body) in entries.items()
                    ],
                )
                # tenure: allow TS005 because it is SQLite
                db.execute(
                    "DELETE FROM entry WHERE number <= (SELECT max(number) FROM entry) - ?",
                    (KEPT,),
                )
        except (sqlite3.OperationalError, OSError):
            return  # read-only, full or busy: the next run judges again
        except sqlite3.DatabaseError:
            self._discard()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._file, timeout=_PATIENCE_S)
        # A lost cache costs a run.
        # tenure: allow TS006 because it is SQLite
        db.execute("PRAGMA synchronous = OFF")
        return db

    def _discard(self) -> None:
        """Remove a file that cannot be read, so that the next run starts a new one."""
        with contextlib.suppress(OSError):
            self._file.unlink()


def _sum(name: bytes, part: bytes) -> bytes:
    return blake2b(name + part, digest_size=8).digest()
