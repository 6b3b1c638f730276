"""Whether this database was restored: then all retention stops until the holds are in again.

What went is on record outside, in the ledger's order. A database that has not the entry which the
last line names is from before it; and the holds that were placed meanwhile are in it as little.
"""

from __future__ import annotations

from pathlib import Path

from retention.interventions import restored
from retention.ledger.gone import FOLDER, GoneFolder
from retention.ledger.recording import is_in
from tenants.connections import RoleConnections


def stop_if_restored(retention: RoleConnections, folder: GoneFolder, *, actor: str) -> bool:
    """Stop all retention where the record knows more than the database; tell whether it did so.

    Raises LedgerError where the record cannot be read.
    """
    # The file first: what is in it was committed before.
    last = folder.last()
    if last is None or last.entry is None:
        return False
    with retention.transaction(None, read_only=True) as cursor:
        if is_in(cursor, last):
            return False
    return restored(retention, actor=actor)


def former_records(folder: Path) -> tuple[GoneFolder, ...]:
    """Return the records of former ledgers that lie in a ledger's folder: `former/NAME`."""
    found = sorted((folder / "former").glob(f"*/{FOLDER}"))
    return tuple(GoneFolder(path) for path in found if path.is_dir())
