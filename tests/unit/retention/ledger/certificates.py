"""Certificates over small ledgers, made by the pure half alone."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import rfc8785

from retention.ledger.verifier import (
    CERTIFICATE_FORMAT,
    Certificate,
    Checkpoint,
    Note,
    Opened,
    Shown,
    Trust,
    VerifierError,
    body_of,
    canonical,
    digest_of_body,
    encode_base64,
    sealed,
    statement_of,
    verify_certificate,
)
from tests.unit.retention.ledger.ledgers import TRUST, Ledger

RUN = "0192aaaa-0000-7000-8000-000000000001"
ACME, GLOBEX = (f"0192bbbb-0000-7000-8000-00000000000{n}" for n in (1, 2))
CERTIFICATE = "0192cccc-0000-7000-8000-000000000001"
DEFINITION = json.dumps(
    {
        "name": "notes", "table": "shop.notes", "starts": "created_at", "period": "P3Y",
        "with": [], "legal_basis": "Art. 5(1)(e) GDPR", "class": "letters", "state": "active",
    }
)  # fmt: skip


def sha256(data: str | bytes) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


@dataclass
class Entry:
    """An entry to be, and what of it a certificate opens, but for what is `closed`; of other
    entries, `shown` is False."""

    kind: str
    record: dict[str, Any]
    tenant: str | None = None
    texts: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    rows: dict[str, list[str]] = field(default_factory=dict)
    shown: bool = True
    closed: frozenset[str] = frozenset()
    digests: bool = True  # of its values, under their names

    @property
    def opened(self) -> Opened:
        return Opened(
            {name: (self.salt(name), text) for name, text in self.texts.items()},
            {name: text for name, text in self.values.items() if name not in self.closed},
            {name: tuple(lines) for name, lines in self.rows.items()},
        )

    def salt(self, name: str) -> bytes:
        return hashlib.sha256(f"{self.kind}{name}".encode()).digest()

    def leaf(self, number: int) -> bytes:
        record = dict(self.record)
        if self.digests:
            record |= {f"{name}_sha256": sha256(text) for name, text in self.values.items()}
        for name, lines in self.rows.items():
            record |= {f"{name}_count": len(lines), f"{name}_sha256": sha256("\n".join(lines))}
        commitments = {
            name: sha256(self.salt(name) + text.encode()) for name, text in self.texts.items()
        }
        return rfc8785.dumps(
            {
                "v": 1, "id": f"00000000-0000-4000-8000-{number:012x}", "kind": self.kind,
                "tenant": self.tenant, "at": f"2026-03-01T00:00:{number:02}.000000Z",
                "record": record, "commitments": commitments,
            }
        )  # fmt: skip


def batch(number: int, tenant: str, rows: int) -> Entry:
    return Entry(
        "batch",
        {
            "tenant_id": tenant, "run_id": RUN, "id": f"0192dddd-0000-7000-8000-{number:012}",
            "policy": "notes", "policy_version": 1, "action": "delete", "rows_deleted": rows,
            "cutoff": "2023-03-01T00:00:00+00:00",
            "counts": {"shop.notes": {"rows": rows, "sha256": sha256(f"keys {number}")}},
            "started_at": "2026-03-01T00:00:00+00:00", "recorded_at": "2026-03-01T00:00:01+00:00",
        },
        tenant,
    )  # fmt: skip


def unit(number: int, tenant: str, batches: Sequence[Entry], **more: Any) -> Entry:
    lines = sorted(f'["{b.record["id"]}", {b.record["rows_deleted"]}]' for b in batches)
    record = {
        "tenant_id": tenant, "run_id": RUN, "number": number, "policy": "notes",
        "policy_version": 1, "planned": 9, "state": "succeeded_with_skips", "left_due": 2,
        "skips": [{"reason": "held", "rows": 2}], "finished_at": "2026-03-01T00:00:02+00:00",
        "batches_count": len(lines), "batches_sha256": sha256("\n".join(lines)),
    }  # fmt: skip
    return Entry("unit-changed", record | more, tenant)


def run_entries() -> list[Entry]:
    """What a run of two tenants enters, with other things between."""
    batches = [batch(1, ACME, 3), batch(2, ACME, 4), batch(3, GLOBEX, 5)]
    run = {
        "id": RUN, "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "state": "running",
        "as_of": "2026-03-01T00:00:00+00:00", "started_at": "2026-03-01T00:00:00+00:00",
        "finished_at": None, "catalog_digest": sha256("catalog"),
        "release": "1.0", "versions": {"notes": 1},
    }  # fmt: skip
    kept = [{"reason": "referenced", "rows": 2, "detail": "shop.letters"}]
    units = [{"tenant_id": t, "policy": "notes", "kept": kept} for t in (ACME, GLOBEX)]
    plan = json.dumps({"units": units})
    ended = {"state": "succeeded_with_skips", "finished_at": "2026-03-01T00:00:03+00:00"}
    numbers = dict.fromkeys(("deleted_along", "undeletable", "paused", "still_due", "vanished"), 0)
    result = [
        "0192eeee-0000-7000-8000-000000000001",
        "overdue",
        "notes",
        ACME,
        0,
        2,
        None,
        "SELECT 1",
    ]
    hold = {
        "id": "0192ffff-0000-7000-8000-000000000001", "tenant_id": ACME, "scope": "tenant",
        "table_name": None, "placed_at": "2026-01-01T00:00:00+00:00", "released_at": None,
        "effective_at": None,
    }  # fmt: skip
    return [
        Entry("tenant", {"id": ACME}, ACME, {"slug": "acme", "name": "Acme & Söhne"}),
        Entry("tenant", {"id": GLOBEX}, GLOBEX, {"slug": "globex", "name": "Globex"}),
        Entry(
            "policy-version",
            {
                "policy": "notes", "version": 1, "digest": sha256("d"),
                "recorded_at": "2026-01-01T00:00:00+00:00",
            },
            texts={"recorded_by": "command:ann"},
            values={"definition": DEFINITION},
        ),
        Entry("hold", hold, ACME, {}),
        Entry(
            "run", run, texts={"started_by": "command:ann"}, values={"plan": plan},
            closed=frozenset({"plan"}),
        ),
        batches[0],
        Entry("login", {"is_auditor": False}, shown=False),
        batches[1],
        Entry(
            "intervention",
            {"run_id": RUN, "number": 1, "action": "pause",
             "taken_at": "2026-03-01T00:00:01+00:00"},
            texts={"actor": "command:bob", "reason": "backup"},
        ),
        unit(1, ACME, batches[:2]),
        batches[2],
        unit(2, GLOBEX, batches[2:]),
        Entry(
            "run-changed", run | ended,
            texts={"started_by": "command:ann", "detail": "held"}, values={"plan": plan},
        ),
        Entry(
            "verification",
            {
                "id": "0192eeee-0000-7000-8000-000000000000", "account": 1, "findings": 0,
                "as_of": "2026-03-01T00:00:04+00:00", "started_at": "2026-03-01T00:00:04+00:00",
                "finished_at": "2026-03-01T00:00:05+00:00",
            },
            rows={"results": [json.dumps(result)]},
        ),
        *(
            Entry(
                "reconciliation",
                {
                    "account": 1, "tenant_id": tenant, "policy": "notes",
                    "table_name": "shop.notes", "deleted": deleted, "held": held,
                    "difference": 0, **numbers,
                },
                tenant,
            )
            for tenant, deleted, held in ((ACME, 7, 2), (GLOBEX, 5, 0))
        ),
    ]  # fmt: skip


ERASURE = "0192abcd-0000-7000-8000-000000000001"
HOLD = "0192ffff-0000-7000-8000-000000000001"
_ASKED = "0192abcd-0000-7000-8000-0000000000aa"


def step(number: int, event: str, actor: str, facts: dict[str, Any]) -> Entry:
    record = {
        "tenant_id": ACME, "id": f"0192abce-0000-7000-8000-{number:012}", "erasure_id": ERASURE,
        "event": event, "facts": facts, "happened_at": f"2026-02-{number:02}T00:00:00+00:00",
    }  # fmt: skip
    return Entry("erasure-event", record, ACME, {"actor": actor})


def erasure_batch(number: int, counts: dict[str, dict[str, int]]) -> Entry:
    record = {
        "tenant_id": ACME, "id": f"0192abcf-0000-7000-8000-{number:012}", "erasure_id": ERASURE,
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "rows": sum(sum(of.values()) for of in counts.values()),
        "counts": {
            table: {
                action: {"rows": rows, "sha256": sha256(f"{table} {action} {number}")}
                for action, rows in of.items()
            }
            for table, of in counts.items()
        },
        "started_at": "2026-02-06T00:00:00+00:00", "recorded_at": "2026-02-06T00:00:01+00:00",
    }  # fmt: skip
    return Entry("erasure-batch", record, ACME)


def erasure_plan(number: int) -> Entry:
    def table(name: str, action: str, rows: int, basis: str | None = None) -> dict[str, Any]:
        return {
            "table": name, "action": action, "rows": rows, "going": 0 if basis else rows,
            "done": 0, "waiting": [], "basis": basis, "ends": [],
        }  # fmt: skip

    plan = {
        "erasure": ERASURE, "as_of": "2026-02-03T00:00:00+00:00", "definition": {"number": number},
        "tables": [
            table("shop.customers", "anonymise", 1), table("shop.notes", "delete", 3),
            table("shop.invoices", "keep", 2, "s. 12 Books Act"),
        ],
        "cut": [{"reference": "shop.letters.note_id", "rows": 1}],
    }  # fmt: skip
    text = canonical(plan).decode()
    record = {
        "tenant_id": ACME, "erasure_id": ERASURE, "number": number, "digest": sha256(text),
        "made_at": "2026-02-03T00:00:00+00:00",
    }  # fmt: skip
    return Entry(
        "erasure-plan", record, ACME, {"made_by": "command:ann"}, {"plan": text}, digests=False
    )


def connector_event(event: str, request: str = _ASKED, **more: Any) -> Entry:
    record = {
        "tenant_id": ACME, "id": "0192abd0-0000-7000-8000-000000000001", "request_id": request,
        "connector": "mail", "event": event, "counts": {}, "digest": None,
        "happened_at": "2026-02-06T00:00:02+00:00",
    }  # fmt: skip
    return Entry("connector-event", record | more, ACME)


def erasure_entries() -> list[Entry]:
    """What an erasure enters that was put off, deferred, and completed, with one thing between."""
    record = {
        "tenant_id": ACME, "id": ERASURE, "subject": "customer", "state": "received",
        "received_at": "2026-02-01T00:00:00+00:00", "due_at": "2026-03-01T00:00:00+00:00",
        "extended_months": 0, "plan": None, "waits_until": None, "ended_at": None,
    }  # fmt: skip
    plans = [erasure_plan(1), erasure_plan(2)]
    made = [{"plan": p.record["number"], "digest": p.record["digest"]} for p in plans]

    def now(**changes: Any) -> Entry:
        entered = {"entered_by": "command:ann"}
        return Entry("erasure-changed", record | changes, ACME, entered)

    waiting = [{"hold": HOLD, "policy": None, "rows": 1, "until": None}]
    kept = {"table": "shop.invoices", "basis": "s. 12 Books Act", "rows": 2,
            "ends": [{"policy": "invoices", "until": "2030-01-01T00:00:00+00:00"}]}  # fmt: skip
    end = {
        "erased": {"shop.customers": {"anonymise": 1}, "shop.notes": {"delete": 3},
                   "shop.letters": {"cut": 1}},
        "kept": [kept], "elsewhere": {"mail": "acknowledged"}, "requests": {"mail": _ASKED},
    }  # fmt: skip
    ended = {"plan": 2, "extended_months": 1, "due_at": "2026-04-01T00:00:00+00:00",
             "state": "completed", "ended_at": "2026-03-01T00:00:09+00:00"}  # fmt: skip
    digest = sha256("answer")
    return [
        Entry("tenant", {"id": ACME}, ACME, {"slug": "acme", "name": "Acme & Söhne"}),
        replace(now(), kind="erasure"),
        step(1, "received", "command:ann", {}),
        step(2, "confirmed", "command:ann", {}),
        plans[0],
        step(3, "planned", "command:ann", made[0]),
        Entry("login", {"is_auditor": False}, shown=False),
        plans[1],
        step(4, "planned", "command:ann", made[1]),
        step(5, "approved", "command:bob", {"plan": 2, "alone": False}),
        step(6, "started", "command:eve", {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}),
        connector_event("requested"),
        erasure_batch(1, {"shop.notes": {"delete": 2}, "shop.letters": {"cut": 1}}),
        step(7, "extended", "command:ann", {"months": 1, "reason": "complexity"}),
        step(
            8, "deferred", "command:eve",
            {"waiting": {"shop.notes": waiting}, "connectors": ["mail"]},
        ),
        connector_event(
            "acknowledged", digest=digest, counts={"messages": 4},
            id="0192abd0-0000-7000-8000-000000000002",
        ),
        step(9, "resumed", "command:eve", {}),
        erasure_batch(2, {"shop.notes": {"delete": 1}, "shop.customers": {"anonymise": 1}}),
        step(10, "verified", "tenure_verifier", {"findings": 0}),
        step(11, "completed", "command:eve", end),
        now(**ended),
    ]  # fmt: skip


OFFBOARDING = "0192abe0-0000-7000-8000-000000000001"
PURGE = "0192abe1-0000-7000-8000-000000000001"
EXPORT = "0192abe2-0000-7000-8000-000000000001"


def purge_batch(number: int, rows: dict[str, int]) -> Entry:
    record = {
        "tenant_id": ACME, "id": f"0192abe3-0000-7000-8000-{number:012}", "purge_id": PURGE,
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "rows": sum(rows.values()),
        "counts": {
            table: {"delete": {"rows": count, "sha256": sha256(f"{table} {number}")}}
            for table, count in rows.items()
        },
        "started_at": "2026-02-10T00:00:01+00:00", "recorded_at": "2026-02-10T00:00:02+00:00",
    }  # fmt: skip
    return Entry("purge-batch", record, ACME)


def offboarding_entries() -> list[Entry]:
    """What an offboarding enters that was held, waited for a connector, and was completed, with
    one thing between."""
    record = {
        "tenant_id": ACME, "id": OFFBOARDING, "state": "requested",
        "requested_at": "2026-01-10T00:00:00+00:00", "grace": "P30D",
        "deletes_at": "2026-02-09T00:00:00+00:00", "export_id": None, "purge_id": None,
        "started_at": None, "access": None, "counts": None, "stays": None, "ended_at": None,
    }  # fmt: skip
    texts = {"requested_by": "command:ann"}

    def now(**changes: Any) -> Entry:
        record.update(changes)
        return Entry("offboarding-changed", dict(record), ACME, texts)

    requested = replace(now(), kind="offboarding")
    export = {
        "tenant_id": ACME, "id": EXPORT, "kind": "tenant", "subject": None, "state": "begun",
        "began_at": "2026-01-10T00:00:01+00:00", "as_of": None, "counts": None, "bytes": None,
        "manifest_sha256": None, "ended_at": None,
    }  # fmt: skip
    exported = {
        "state": "finished", "as_of": "2026-01-10T00:00:01+00:00", "bytes": 900,
        "counts": {"shop.notes": 3, "shop.customers": 2}, "manifest_sha256": sha256("manifest"),
        "ended_at": "2026-01-10T00:00:02+00:00",
    }  # fmt: skip
    purge = {
        "tenant_id": ACME, "id": PURGE, "kind": "offboarding", "state": "running",
        "cause": {"offboarding": OFFBOARDING}, "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "began_at": "2026-02-10T00:00:00+00:00", "counts": None, "kept": None, "ended_at": None,
    }  # fmt: skip
    deleted = {"shop.notes": {"delete": 3}, "shop.customers": {"delete": 2}}
    at_end = "2026-02-11T00:00:00+00:00"
    counts = {
        "deleted": deleted, "elsewhere": {"mail": "acknowledged"}, "requests": {"mail": _ASKED},
        "verified": {
            "at": "2026-02-10T23:59:59+00:00", "by": "tenure_verifier",
            "left": {"shop.notes": 0, "shop.customers": 0, "shop.letters": 0},
        },
    }  # fmt: skip
    stays = {
        "tenure.tenants": {"rows": 1, "why": "what all that stays refers to"},
        "tenure.ledger_texts": {"rows": None, "why": "who acted and why"},
    }
    hold = {
        "id": HOLD, "tenant_id": ACME, "scope": "tenant", "table_name": None,
        "placed_at": "2026-01-20T00:00:00+00:00", "released_at": None, "effective_at": None,
    }  # fmt: skip
    released = {
        "released_at": "2026-02-09T12:00:00+00:00", "effective_at": "2026-02-09T12:00:00+00:00",
    }  # fmt: skip
    begun_by = {"begun_by": "command:eve"}
    return [
        Entry("tenant", {"id": ACME}, ACME, {"slug": "acme", "name": "Acme & Söhne"}),
        requested,
        Entry("export", export, ACME, {"requested_by": "command:ann"}),
        Entry("export-changed", export | exported, ACME, {"requested_by": "command:ann"}),
        now(export_id=EXPORT),
        Entry("hold", hold, ACME),
        now(state="deferred"),
        Entry("hold-changed", hold | released, ACME),
        Entry("login", {"is_auditor": False}, shown=False),
        Entry("purge", purge, ACME, begun_by),
        now(
            state="running", purge_id=PURGE, started_at="2026-02-10T00:00:00+00:00",
            access={"memberships": 3, "api_tokens": 1, "sessions": 2},
        ),
        connector_event("requested"),
        purge_batch(1, {"shop.notes": 2}),
        purge_batch(2, {"shop.notes": 1, "shop.customers": 2}),
        now(state="waiting"),
        connector_event(
            "acknowledged", digest=sha256("answer"), counts={"messages": 4},
            id="0192abd0-0000-7000-8000-000000000002",
        ),
        Entry(
            "purge-changed",
            purge | {"state": "completed", "counts": deleted, "kept": {}, "ended_at": at_end},
            ACME, begun_by,
        ),
        now(state="completed", counts=counts, stays=stays, ended_at=at_end),
    ]  # fmt: skip


def for_tenant(entries: Sequence[Entry], tenant: str) -> list[Entry]:
    """The same ledger, of which a certificate for one tenant shows what is that tenant's."""
    hidden = {"verification"}
    return [
        replace(
            each,
            shown=each.shown and each.kind not in hidden and each.tenant in {None, tenant},
            closed=each.closed | {"plan"},
        )
        for each in entries
    ]


@dataclass(frozen=True)
class Made:
    """A certificate before it is sealed, and the ledger it is of."""

    content: dict[str, Any]
    ledger: Ledger

    @property
    def data(self) -> bytes:
        return sealed(self.content) + b"\n"


def certify(
    entries: Sequence[Entry],
    tenant: str | None = None,
    backups: int | None = 35,
    of: tuple[str, str] = ("run", RUN),
) -> Made:
    """Issue a certificate as `retention.ledger.certificate` does."""
    leaves = [each.leaf(number) for number, each in enumerate(entries)]
    shown = [(number, each) for number, each in enumerate(entries) if each.shown]
    evidence = [Shown.open(n, leaves[n], each.opened) for n, each in shown]
    body = body_of(*of, tenant, backups, evidence)
    own = Entry(
        "certificate",
        {
            "id": CERTIFICATE, "kind": of[0], "subject_id": of[1], "tenant_id": tenant,
            "statement_sha256": digest_of_body(body), "backups_kept_days": backups,
            "release": "1.0", "issued_at": "2026-03-02T00:00:00+00:00",
        },
        tenant,
        {"issued_by": "command:ann"},
    )  # fmt: skip
    return assemble([*entries, own])


def assemble(entries: Sequence[Entry]) -> Made:
    """Put a certificate together over entries that hold its own."""
    leaves = tuple(each.leaf(number) for number, each in enumerate(entries))
    ledger = Ledger(leaves, (len(leaves),))
    shown = [(n, each) for n, each in enumerate(entries) if each.shown]
    evidence = [Shown.open(n, leaves[n], each.opened) for n, each in shown]
    note = ledger.note(len(leaves))
    proofs = [{"proof": str(ledger.proof(n)), **each.opened.to_json()} for n, each in shown]
    checkpoint = Checkpoint.parse(Note.parse(note).text)
    statement = statement_of(evidence, checkpoint)
    content = {
        "format": CERTIFICATE_FORMAT,
        "certificate": statement["issued"]["id"],
        "statement": statement,
        "checkpoint": {
            "note": note.decode(),
            "timestamps": [encode_base64(s) for s in ledger.timestamps.get(len(leaves), [])],
        },
        "evidence": proofs,
    }
    return Made(content, ledger)


def certified(data: bytes, trust: Trust = TRUST) -> Certificate:
    return verify_certificate(data, trust)


def refused(data: bytes, trust: Trust = TRUST) -> str | None:
    """Why a certificate is refused; None if it is not."""
    try:
        verify_certificate(data, trust)
    except VerifierError as error:
        return str(error)
    return None


def resealed(content: dict[str, Any]) -> bytes:
    return sealed(content) + b"\n"


def leaves_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to all values that are no container."""
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from leaves_of(inner, (*path, key))
    else:
        yield path


def changed_at(content: dict[str, Any], path: tuple[Any, ...], to: Any = None) -> dict[str, Any]:
    """A copy with another value there, of the same kind."""
    copied = copy.deepcopy(content)
    at: Any = copied
    for key in path[:-1]:
        at = at[key]
    old = at[path[-1]]
    others: dict[type, Any] = {bool: lambda: not old, int: lambda: old + 1, str: lambda: old + "x"}
    at[path[-1]] = others[type(old)]() if type(old) in others else "x" if to is None else to
    return copied
