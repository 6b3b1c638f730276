"""What went, by the records outside of the database, and this database knows nothing of.

A batch's record commits with what it did. So a database that has the record of a batch was backed
up after it, and one that has not is from before: the rows that went may be there again. Of the
first kind nothing is done again: a row with a key of then is another row, or was brought back on
purpose. What was archived is not erased; its policy archives it again when it is due.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from retention.errors import LedgerError
from retention.ledger.checkpoint import SignedCheckpoint, VerifierKey
from retention.ledger.gone import GoneFolder, Keys, Line
from retention.ledger.gone_head import read_head, signed_lines
from retention.treatments import Treatment
from tenants.catalog import TableName
from tenants.connections import Cursor
from tenants.context import TenantId

_TENANTS = "SELECT id::text, slug FROM tenure.tenants ORDER BY slug"
_KNOWN = """
SELECT id::text FROM tenure.batches WHERE id = ANY(%(ids)s::uuid[])
UNION ALL SELECT id::text FROM tenure.erasure_batches WHERE id = ANY(%(ids)s::uuid[])
UNION ALL SELECT id::text FROM tenure.purge_batches WHERE id = ANY(%(ids)s::uuid[])
UNION ALL SELECT id::text FROM tenure.connector_requests WHERE id = ANY(%(ids)s::uuid[])
UNION ALL SELECT id::text FROM tenure.offboardings
WHERE id = ANY(%(ids)s::uuid[]) AND started_at IS NOT NULL
"""
_REPLAYED = """
SELECT p.tenant_id::text, r ->> 'journal',
       max((r ->> 'through')::bigint) FILTER (WHERE p.state = 'completed'),
       max((r ->> 'through')::bigint)
FROM tenure.purges p CROSS JOIN LATERAL jsonb_array_elements(p.cause -> 'records') r
WHERE p.kind = 'replay' GROUP BY 1, 2
"""
_PORTION = 10_000
_REQUEST = "connector-event"
_LEAVING = "offboarding-changed"


@dataclass(frozen=True, slots=True)
class Change:
    """How rows of a table were changed."""

    table: TableName
    action: str
    treatments: tuple[Treatment, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """That a connector was asked, last by the `request` of this id, about the person whose key has
    the hash `key`; or, without one, about all of the tenant."""

    request: UUID
    connector: str
    subject: str | None
    key: bytes | None


@dataclass
class Wanted:
    """What went of a tenant's, by hashes of keys: `deleted` by table, `changed` by how; `cut` is,
    by reference (`schema.table.column`), what went so that it was emptied. `asked` are requests to
    connectors, also those that this database has; `offboarding` is the one by which the tenant
    left."""

    tenant_id: TenantId
    tenant: str
    deleted: dict[TableName, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    changed: dict[Change, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    cut: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    asked: dict[tuple[str, str | None, bytes | None], Asked] = field(default_factory=dict)
    offboarding: UUID | None = None
    batches: int = 0


@dataclass(frozen=True)
class Records:
    """What the records say: of which tenants what is `wanted`; `cause` names the files and how
    far they were read; `left` counts what is left to others, and why. `restored`: they say what
    neither this database nor a replay that was begun in it knows of."""

    wanted: tuple[Wanted, ...]
    cause: tuple[Mapping[str, Any], ...]
    left: Mapping[str, int]
    restored: bool = False


@dataclass(frozen=True)
class Sources:
    """Where it is on record what went, and whose word is believed: `keys` that sign records. They
    must reach as far as checkpoints that were `given_out`; with `accept_unsigned` lines that
    nobody signed are believed."""

    folders: tuple[GoneFolder, ...]
    keys: tuple[VerifierKey, ...] = ()
    given_out: tuple[SignedCheckpoint, ...] = ()
    accept_unsigned: bool = False


def read_records(cursor: Cursor, sources: Sources) -> Records:
    """Read all of it, and return what this database knows nothing of; as verifier.

    Raises LedgerError where a line is missing, changed, or not signed.
    """
    _require_whole(sources)
    # tenure: allow TS001 because a replay is over all tenants, as tenure_verifier
    cursor.execute(_TENANTS)
    slugs = dict(cursor.fetchall())
    # tenure: allow TS001 because a replay is over all tenants, as tenure_verifier
    cursor.execute(_REPLAYED)
    replayed, begun = {}, dict[str, int]()
    for tenant, journal, through, read in cursor.fetchall():
        replayed[tenant, journal] = -1 if through is None else through
        begun[journal] = max(read, begun.get(journal, -1))
    found: dict[str, Wanted] = {}
    left: dict[str, int] = defaultdict(int)
    cause, restored = [], False
    for folder in sources.folders:
        journal, last = "", None
        for line in _unknown(cursor, folder, sources):
            last = line
            journal = line.content.get("journal", journal)
            if not line.is_batch:
                continue
            tenant, known = str(line.tenant), "known" in line.content
            restored = restored or (not known and line.number > begun.get(journal, -1))
            # A store may have come back alone: of what was asked everything is looked at.
            if known and line.kind != _REQUEST:
                continue
            if not known and line.number <= replayed.get((tenant, journal), -1):
                continue
            if tenant not in slugs:
                left["batches of tenants that are not there"] += 1
                continue
            wanted = found.setdefault(tenant, Wanted(TenantId(UUID(tenant)), slugs[tenant]))
            _add(wanted, line, left)
        if last is not None:
            cause.append({"journal": journal, "through": last.number, "sha256": last.sha256})
    wanted_now = (w for w in found.values() if w.deleted or w.changed or w.asked or w.offboarding)
    ordered = tuple(sorted(wanted_now, key=lambda w: w.tenant))
    return Records(ordered, tuple(cause), dict(left), restored)


def _require_whole(sources: Sources) -> None:
    heads = [read_head(folder, sources.keys) for folder in sources.folders]
    origins = {head.origin for head in heads if head}
    for each in sources.given_out:
        if each.checkpoint.origin not in origins and not sources.accept_unsigned:
            raise LedgerError(
                f"a checkpoint of {each.checkpoint.origin} was given out, and there is no signed "
                "record beside that ledger: give its folder, too"
            )


def _unknown(cursor: Cursor, folder: GoneFolder, sources: Sources) -> Iterator[Line]:
    """Yield all lines, with those marked whose batch this database has."""
    portion: list[Line] = []

    def looked_up() -> Iterator[Line]:
        ids = [str(line.of) for line in portion if line.is_batch]
        # tenure: allow TS001 because a replay is over all tenants, as tenure_verifier
        cursor.execute(_KNOWN, {"ids": ids})
        known = {row[0] for row in cursor.fetchall()}
        for line in portion:
            there = line.is_batch and str(line.of) in known
            yield _marked(line) if there else line

    for line in signed_lines(
        folder, sources.keys, sources.given_out, accept_unsigned=sources.accept_unsigned
    ):
        portion.append(line)
        if len(portion) >= _PORTION:
            yield from looked_up()
            portion.clear()
    yield from looked_up()


def _marked(line: Line) -> Line:
    of_it = ("tenant", "request", "connector", "subject", "key")
    known = {"known": True} | {k: line.content[k] for k in of_it if k in line.content}
    return Line(line.number, line.kind, line.position, line.entry, line.sha256, known)


def _add(wanted: Wanted, line: Line, left: dict[str, int]) -> None:
    if line.kind == _REQUEST:
        said = line.content
        key = None if said["key"] is None else base64.b64decode(said["key"], validate=True)
        # The last one: asked again after each restore, each time anew.
        wanted.asked[said["connector"], said["subject"], key] = Asked(
            line.of, said["connector"], said["subject"], key
        )
        return
    if line.kind == _LEAVING:
        wanted.offboarding = line.of
        return
    wanted.batches += 1
    cut = {*line.content.get("subject", {}).get("cut", ()), *line.content.get("cut", ())}
    if line.content.get("rows_unknown"):
        left["rows whose keys were not kept"] += int(line.content["rows_unknown"])
    for keys in line.keys:
        if keys.action == "delete":
            wanted.deleted[keys.table] |= keys.hashes
            for reference in cut:
                wanted.cut[reference] |= keys.hashes
        elif keys.action == "archive":
            left["archived rows, for their policies"] += len(keys.hashes)
        elif keys.action != "cut":
            wanted.changed[_change(line, keys)] |= keys.hashes


def _change(line: Line, keys: Keys) -> Change:
    subject = {t["table"]: t.get("columns", {}) for t in line.content.get("subject", {}).get(
        "tables", ())}  # fmt: skip
    columns = {**subject, **line.content.get("columns", {})}[str(keys.table)]
    treatments = tuple(Treatment.read(c, written) for c, written in sorted(columns.items()))
    return Change(keys.table, keys.action, treatments)
