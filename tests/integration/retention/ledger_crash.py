"""Writers of evidence and publishers of the ledger in processes of their own, which are killed;
and what must hold of the ledger whoever died."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retention.ledger import tree
from retention.ledger.checkpoint import SignedCheckpoint, VerifierKey
from retention.ledger.folder import Folder
from retention.ledger.keys import create_key
from retention.ledger.verifier import RootBuilder
from tenants.context import TenantId

from .crash import NAME, wait_for_its_sessions
from .shop_rows import environment_of

ORIGIN = "ledger.example/acme"
SHIP = """cp "$1" "{folder}/shipped/$$.part" && mv "{folder}/shipped/$$.part" "{folder}/shipped/$$"
"""

Order = Callable[..., list[int]]


@dataclass
class Place:
    """What a ledger has outside of the database, and what was ever seen there."""

    path: Path
    key: VerifierKey
    seen: dict[int, bytes] = field(default_factory=dict)

    @property
    def folder(self) -> Folder:
        return Folder(self.path / "checkpoints")

    def shipped(self) -> list[bytes]:
        return [path.read_bytes() for path in (self.path / "shipped").glob("[0-9]*")
                if path.suffix != ".part"]  # fmt: skip

    def said(self, what: str) -> set[str]:
        """What the writers say that they tried to write, or have written."""
        return {
            line.removeprefix(f"{what} ")
            for diary in self.path.glob("*.diary")
            for line in diary.read_text().splitlines()
            if line.startswith(f"{what} ")
        }


def place(path: Path) -> Place:
    for name in ("checkpoints", "shipped"):
        (path / name).mkdir()
    (path / "ship").write_text(SHIP.format(folder=path))
    return Place(path, create_key(path / "ledger.key", ORIGIN).verifier_key)


@contextmanager
def at_the_ledger(lab: Any, place: Place, tenant: TenantId, **told: Any) -> Iterator[Order]:
    """Yield `order(publishers=2, step="signed", count=1)`, see `ledger_child`, while its writers
    write; returns the publishers' exit codes."""
    told = {"writers": 16, "seed": "1", "deaths": 40} | told
    told |= {"folder": str(place.path), "origin": ORIGIN, "tenant": str(tenant)}
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "ledger_child.py"), json.dumps(told)],
        env=environment_of(lab.installation) | {"PGAPPNAME": NAME, "TENURE_POOL_SIZE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        asked, answered = process.stdin, process.stdout

        def order(**what: Any) -> list[int]:
            asked.write(json.dumps(what) + "\n")
            asked.flush()
            codes: list[int] = json.loads(answered.readline())
            return codes

        yield order
        asked.close()
        assert process.wait(30) == 0
    wait_for_its_sessions(lab.installation.settings.database_url)


def check_the_tree(lab: Any, place: Place) -> int:
    """Positions have no gaps, and every checkpoint that exists anywhere, or ever did, is signed
    and over the first of the same entries; return how many entries are in order."""
    given = {size: path.read_bytes() for size, path in place.folder.notes()}
    assert place.seen.items() <= given.items(), "one that was given out changed, or is gone"
    place.seen = given
    notes = [*given.values(), *place.shipped()]
    last = place.folder.last()
    if last is not None:
        assert SignedCheckpoint.verify(last, [place.key]).checkpoint.size in given
        notes.append(last)
    # In this order: what is in order later is no matter to what was signed before.
    rows = lab.sql("SELECT note, exported_at IS NOT NULL FROM tenure.ledger_checkpoints")
    notes += [note.encode() for note, _ in rows]
    marked = {
        SignedCheckpoint.verify(n.encode(), [place.key]).checkpoint.size for n, e in rows if e
    }
    assert marked <= {size for size, _ in place.folder.notes()}, "marked, and not there"
    entries = lab.sql(
        "SELECT position, leaf, leaf_hash FROM tenure.ledger_entries"
        " WHERE position IS NOT NULL ORDER BY position"
    )
    claims: dict[int, set[bytes]] = {}
    for note in notes:
        found = SignedCheckpoint.verify(note, [place.key]).checkpoint
        claims.setdefault(found.size, set()).add(found.root)
    builder = RootBuilder()
    for number, (position, leaf, hashed) in enumerate(entries):
        assert position == number
        assert tree.leaf_hash(bytes(leaf)) == bytes(hashed)
        builder.add(bytes(hashed))
        if builder.size in claims:
            assert claims.pop(builder.size) == {builder.root()}, builder.size
    assert not claims, "signed over more than there is"
    return builder.size


def check_the_entries(lab: Any, place: Place) -> int:
    """What was committed was entered, once; what was not was not. Nobody writes meanwhile.
    Returns how many rows of evidence there are."""
    rows = lab.sql("SELECT reason FROM tenure.interventions WHERE actor = 'w'"
                   " UNION ALL SELECT reason FROM tenure.holds WHERE placed_by = 'w'")  # fmt: skip
    entered = lab.sql(
        "SELECT x.content, e.position IS NOT NULL FROM tenure.ledger_entries e"
        " JOIN tenure.ledger_texts x ON x.entry_id = e.id AND x.field = 'reason'"
        " WHERE e.source IN ('interventions', 'holds') AND x.content LIKE 'w%%'"
    )
    assert Counter(name for (name,) in rows) == Counter(name for name, _ in entered)
    assert max(Counter(name for name, _ in entered).values()) == 1
    assert all(ordered for _, ordered in entered)
    written = {name for (name,) in rows}
    assert place.said("done") <= written <= place.said("try")
    return len(rows)
