"""What a certificate rests on: which rows' entries, and what of them is opened.

Read as tenure_auditor, in one snapshot. What a tenant is shown of a run is its own; the run, its
policies and what people did to it are the installation's, and their texts about others stay closed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from retention.errors import LedgerError, UncertifiedError, UnsignedError
from retention.ledger.proofs import Membership, of_rows
from retention.ledger.verifier import Opened, canonical
from tenants.connections import Cursor
from tenants.context import TenantId

Kind = Literal["run", "erasure", "tenant"]

_RUN = """
SELECT id::text, started_at, finished_at FROM tenure.runs
WHERE id::text = %(named)s OR trace_id = %(named)s
"""
_UNITS = """
SELECT tenant_id::text, run_id || '/' || number, policy, policy || '/' || policy_version
FROM tenure.units WHERE run_id = %(run)s AND (%(tenant)s IS NULL OR tenant_id = %(tenant)s::uuid)
"""
_BATCHES = """
SELECT run_id || '/' || id FROM tenure.batches
WHERE run_id = %(run)s AND (%(tenant)s IS NULL OR tenant_id = %(tenant)s::uuid)
"""
_HOLDS = """
SELECT tenant_id || '/' || id FROM tenure.holds
WHERE tenant_id = ANY(%(tenants)s::uuid[]) AND placed_at < %(ended)s
  AND (effective_at IS NULL OR effective_at > %(began)s)
"""
_INTERVENTIONS = "SELECT number::text FROM tenure.interventions WHERE run_id = %(run)s"
_RESTORATIONS = """
SELECT tenant_id || '/' || id FROM tenure.restorations
WHERE run_id = %(run)s AND (%(tenant)s IS NULL OR tenant_id = %(tenant)s::uuid)
"""
_VERIFICATION = """
SELECT id::text, account FROM tenure.verifications
WHERE started_at >= %(ended)s AND account IS NOT NULL ORDER BY account LIMIT 1
"""
_BOOKS = """
SELECT account || '/' || tenant_id || '/' || policy || '/' || table_name
FROM tenure.reconciliations
WHERE account = %(account)s AND tenant_id = ANY(%(tenants)s::uuid[])
  AND policy = ANY(%(policies)s)
"""
_RESULTS = """
SELECT jsonb_build_array(id, kind, subject, tenant_id, found, held, oldest, query, paused,
    undeletable, undeletable_oldest, age_p99_s, watermark, reasons)::text COLLATE "C" AS line
FROM tenure.verification_results WHERE verification_id = %s ORDER BY line
"""
_PLAN = "SELECT plan::text FROM tenure.runs WHERE id = %s"
_ERASURE = """
SELECT id::text, tenant_id::text, state, plan FROM tenure.erasures
WHERE id = %(erasure)s::uuid AND (%(tenant)s IS NULL OR tenant_id = %(tenant)s::uuid)
"""
_PLANS = """
SELECT tenant_id || '/' || erasure_id || '/' || number FROM tenure.erasure_plans
WHERE tenant_id = %(tenant)s::uuid AND erasure_id = %(erasure)s::uuid
"""
_STEPS = """
SELECT tenant_id || '/' || id FROM tenure.erasure_events
WHERE tenant_id = %(tenant)s::uuid AND erasure_id = %(erasure)s::uuid
"""
_ERASED = """
SELECT tenant_id || '/' || id FROM tenure.erasure_batches
WHERE tenant_id = %(tenant)s::uuid AND erasure_id = %(erasure)s::uuid
"""
# Of the requests that its end names: those before say only what was answered.
_ANSWERS = """
SELECT e.tenant_id || '/' || e.id FROM tenure.connector_events e
WHERE e.tenant_id = %(tenant)s::uuid AND e.request_id::text IN (
    SELECT r.value FROM tenure.erasure_events s, jsonb_each_text(s.facts->'requests') r
    WHERE s.tenant_id = %(tenant)s::uuid AND s.erasure_id = %(erasure)s::uuid
      AND s.event = 'completed')
"""
_OFFBOARDING = """
SELECT id::text, tenant_id::text, state, export_id::text, purge_id::text, deletes_at, ended_at
FROM tenure.offboardings
WHERE id = %(offboarding)s::uuid AND (%(tenant)s IS NULL OR tenant_id = %(tenant)s::uuid)
"""
_PURGED = """
SELECT tenant_id || '/' || id FROM tenure.purge_batches
WHERE tenant_id = %(tenant)s::uuid AND purge_id = %(purge)s::uuid
"""
_ASKED = """
SELECT e.tenant_id || '/' || e.id FROM tenure.connector_events e
WHERE e.tenant_id = %(tenant)s::uuid AND e.request_id::text IN (
    SELECT r.value FROM tenure.offboardings o, jsonb_each_text(o.counts->'requests') r
    WHERE o.tenant_id = %(tenant)s::uuid AND o.id = %(offboarding)s::uuid)
"""
_ERASURE_PLAN = """
SELECT plan FROM tenure.erasure_plans
WHERE tenant_id = %s::uuid AND erasure_id = %s::uuid AND number = %s
"""
_DEFINITION = """
SELECT definition::text FROM tenure.policy_versions WHERE policy = %s AND version = %s
"""
_TEXTS = """
SELECT entry_id::text, field, salt, content FROM tenure.ledger_texts
WHERE entry_id = ANY(%s::uuid[])
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a certificate is about, and for whom: a tenant, or all (None)."""

    kind: Kind
    id: UUID
    tenant: TenantId | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Rows of a table whose entries are shown: their keys, the committed texts that are opened."""

    table: str
    keys: tuple[str, ...]
    texts: tuple[str, ...] = ()


Gathered = tuple[Membership, Opened]


def find_subject(cursor: Cursor, named: str, tenant: TenantId | None) -> Subject:
    """Return an erasure or an offboarding by its id, or a run by its id or trace id. The former are
    of one tenant, and so are their certificates; there is none of another tenant's than `tenant`.

    Raises:
        UncertifiedError: there is none of them.
        LedgerError: it has not ended.
    """
    try:
        id_ = UUID(named)
    except ValueError:
        return find_run(cursor, named, tenant)
    known = {"tenant": None if tenant is None else str(tenant)}
    kinds: tuple[tuple[Kind, str, str], ...] = (
        ("erasure", "erasure", _ERASURE),
        ("tenant", "offboarding", _OFFBOARDING),
    )
    for kind, word, query in kinds:
        cursor.execute(query, {**known, word: str(id_)})
        row = cursor.fetchone()
        if row is None:
            continue
        if row[2] != "completed":
            raise LedgerError(
                f"{word} {id_} is {row[2]}; a certificate tells of one that is completed"
            )
        return Subject(kind, id_, TenantId(UUID(row[1])))
    return find_run(cursor, named, tenant)


def find_run(cursor: Cursor, named: str, tenant: TenantId | None) -> Subject:
    """Return a run by its id or trace id.

    Raises:
        UncertifiedError: there is none.
        LedgerError: it has not ended.
    """
    cursor.execute(_RUN, {"named": named})
    row = cursor.fetchone()
    if row is None:
        raise UncertifiedError(f"there is no run {named}, and no erasure or offboarding")
    if row[2] is None:
        raise LedgerError(f"run {named} has not ended; a certificate tells of what is done")
    return Subject("run", UUID(row[0]), tenant)


def gather(cursor: Cursor, subject: Subject, *, for_tenant: bool = False) -> list[Gathered]:
    """Return the entries that tell of a subject, in their order, each with what is opened of it.
    `for_tenant`: of an offboarding, as tenure_app in the tenant's context.

    Raises:
        UnsignedError: one is under no checkpoint yet.
    """
    # Rows are shown as the trigger read them.
    cursor.execute("SELECT set_config('timezone', 'UTC', true)")
    found = [
        (source, each)
        for source in _SOURCES[subject.kind](cursor, subject)
        for each in of_rows(cursor, source.table, source.keys, for_tenant=for_tenant)
    ]
    for _, each in found:
        if each.proof is None or each.leaf is None:
            raise UnsignedError("an entry is under no checkpoint yet")
    found.sort(key=lambda pair: pair[1].index or 0)
    texts = _texts(cursor, [(source.texts, each.entry_id) for source, each in found])
    return [
        (
            each,
            Opened(
                texts.get(each.entry_id, {}),
                _values(cursor, source.table, each, subject),
                _rows(cursor, each) if source.table == "verifications" else {},
            ),
        )
        for source, each in found
    ]


def own_entry(cursor: Cursor, certificate: UUID, *, for_tenant: bool = False) -> Gathered:
    """Return the entry of a certificate itself.

    Raises:
        UnsignedError: it is under no checkpoint yet.
    """
    for each in of_rows(cursor, "certificates", [str(certificate)], for_tenant=for_tenant):
        if each.proof is not None:
            texts = _texts(cursor, [(("issued_by",), each.entry_id)])
            return each, Opened(texts.get(each.entry_id, {}))
    raise UnsignedError(f"certificate {certificate} is under no checkpoint yet")


def _run_sources(cursor: Cursor, subject: Subject) -> Iterator[Source]:
    run = str(subject.id)
    tenant = None if subject.tenant is None else str(subject.tenant)
    asked: dict[str, Any] = {"run": run, "tenant": tenant}
    cursor.execute(_RUN, {"named": run})
    _, asked["began"], asked["ended"] = cursor.fetchall()[0]
    cursor.execute(_UNITS, asked)
    units = cursor.fetchall()
    if tenant is not None and not units:
        raise LedgerError(f"run {run} had nothing to do for this tenant")
    tenants = sorted({unit[0] for unit in units})
    asked |= {"tenants": tenants, "policies": sorted({unit[2] for unit in units})}
    whole = tenant is None
    yield Source("runs", (run,), ("started_by", "detail") if whole else ("started_by",))
    yield Source("tenants", tuple(tenants), ("slug", "name"))
    yield Source("policy_versions", tuple(sorted({unit[3] for unit in units})), ("recorded_by",))
    yield Source("units", tuple(unit[1] for unit in units), ("detail",))
    yield Source("batches", _keys(cursor, _BATCHES, asked))
    yield Source("holds", _keys(cursor, _HOLDS, asked))
    opened = ("actor", "reason") if whole else ()
    yield Source("interventions", _keys(cursor, _INTERVENTIONS, asked), opened)
    yield Source("restorations", _keys(cursor, _RESTORATIONS, asked))
    cursor.execute(_VERIFICATION, asked)
    for verification, account in cursor.fetchall():
        if whole:
            yield Source("verifications", (verification,))
        yield Source("reconciliations", _keys(cursor, _BOOKS, {**asked, "account": account}))


def _erasure_sources(cursor: Cursor, subject: Subject) -> Iterator[Source]:
    asked = {"erasure": str(subject.id), "tenant": str(subject.tenant)}
    yield Source("erasures", (f"{subject.tenant}/{subject.id}",), ("entered_by",))
    yield Source("tenants", (asked["tenant"],), ("slug", "name"))
    yield Source("erasure_plans", _keys(cursor, _PLANS, asked), ("made_by",))
    yield Source("erasure_events", _keys(cursor, _STEPS, asked), ("actor",))
    yield Source("erasure_batches", _keys(cursor, _ERASED, asked))
    # What others wrote stays closed: it may name people.
    yield Source("connector_events", _keys(cursor, _ANSWERS, asked), ("actor",))


def _tenant_sources(cursor: Cursor, subject: Subject) -> Iterator[Source]:
    tenant = str(subject.tenant)
    asked: dict[str, Any] = {"offboarding": str(subject.id), "tenant": tenant, "tenants": [tenant]}
    cursor.execute(_OFFBOARDING, asked)
    *_, export, asked["purge"], asked["began"], asked["ended"] = cursor.fetchall()[0]
    # For what it waited, and why it was asked for, stay closed: they may name matters and people.
    yield Source("offboardings", (f"{tenant}/{subject.id}",), ("requested_by",))
    yield Source("tenants", (tenant,), ("slug", "name"))
    yield Source("exports", (f"{tenant}/{export}",), ("requested_by",))
    yield Source("purges", (f"{tenant}/{asked['purge']}",), ("begun_by",))
    yield Source("purge_batches", _keys(cursor, _PURGED, asked))
    yield Source("holds", _keys(cursor, _HOLDS, asked))
    yield Source("connector_events", _keys(cursor, _ASKED, asked), ("actor",))


_SOURCES: dict[Kind, Callable[[Cursor, Subject], Iterator[Source]]] = {
    "run": _run_sources,
    "erasure": _erasure_sources,
    "tenant": _tenant_sources,
}


def _keys(cursor: Cursor, query: str, asked: Mapping[str, Any]) -> tuple[str, ...]:
    cursor.execute(query, asked)
    return tuple(row[0] for row in cursor.fetchall())


def _texts(
    cursor: Cursor, wanted: Sequence[tuple[Collection[str], UUID]]
) -> dict[UUID, dict[str, tuple[bytes, str]]]:
    """Return the texts of entries that are to be opened, with their salts; not those erased."""
    fields = {entry: names for names, entry in wanted}
    cursor.execute(_TEXTS, ([str(entry) for entry, names in fields.items() if names],))
    found: dict[UUID, dict[str, tuple[bytes, str]]] = {}
    for entry, name, salt, content in cursor.fetchall():
        if name in fields[UUID(entry)]:
            found.setdefault(UUID(entry), {})[name] = (bytes(salt), content)
    return found


def _values(cursor: Cursor, table: str, entry: Membership, subject: Subject) -> dict[str, str]:
    """Return what an entry has a digest of; the plan, which is of all tenants, for all alone."""
    record = json.loads(entry.leaf or b"")["record"]
    if table == "policy_versions":
        cursor.execute(_DEFINITION, (record["policy"], record["version"]))
        return {"definition": cursor.fetchall()[0][0]}
    if table == "runs" and record["finished_at"] is not None and subject.tenant is None:
        cursor.execute(_PLAN, (record["id"],))
        return {"plan": cursor.fetchall()[0][0]}
    if table == "erasure_plans":
        known = (record["tenant_id"], record["erasure_id"], record["number"])
        cursor.execute(_ERASURE_PLAN, known)
        return {"plan": canonical(cursor.fetchall()[0][0]).decode()}
    return {}


def _rows(cursor: Cursor, entry: Membership) -> dict[str, tuple[str, ...]]:
    """Return the results of a verification, of which its entry has a digest."""
    cursor.execute(_RESULTS, (json.loads(entry.leaf or b"")["record"]["id"],))
    return {"results": tuple(row[0] for row in cursor.fetchall())}
