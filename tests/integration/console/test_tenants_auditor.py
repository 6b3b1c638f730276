"""A tenant's own auditor: what they ask is answered of their tenant alone, by the database's
grants and policies, and not by our WHERE; hostile to whatever leaks."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from flask.testing import FlaskClient

from api.app import create_app
from api.wiring import Installation, owner_of
from api.workshop import desk_of, workshop_of
from config.trace import new_trace_id
from retention.connectors.declarations import parse_connectors
from retention.executor import Options
from retention.holds import pass_gate, place
from retention.interventions import start, stop
from retention.jobs import run_once
from retention.ledger.folder import Folder
from retention.ledger.keys import create_key
from retention.ledger.publishing import Ledger, Outside
from retention.ledger.verifier import SignedCheckpoint, VerifierKey
from retention.offboardings import records
from retention.policy_records import set_state
from retention.reports.index import REPORTS
from tenants import registry
from tenants.connections import RoleConnections
from tenants.context import TenantId
from tenants.importing import generator_of
from tenants.registry import ensure_tenant, slug_of

from .conftest import Evidence, Pages, _hashed, log_in
from .test_of_a_period import paper_of
from .test_purges import replayed

OWN = [name for name, entry in REPORTS.items() if entry.of_tenant]
REFUSED = [name for name in REPORTS if name not in OWN]
EMAIL, OWNER = "auditor@linden.example", "owner@linden.example"
PERSON = "Jane Roe of Harbour"
OTHERS_REASON = "Harbour Supplies is being sued in the matter 2026-0417"


@dataclass(frozen=True)
class Two:
    """Two tenants with evidence, of which one has an auditor; and what must not be told."""

    installation: Installation
    evidence: Evidence
    own: TenantId
    other: TenantId
    client: FlaskClient
    pages: Pages
    keys: dict[str, list[UUID]]
    secrets: dict[str, str] = field(default_factory=dict)

    def leaks(self, text: str) -> list[str]:
        """Return what in a text is another's."""
        return [f"{what}: {secret}" for secret, what in self.secrets.items() if secret in text]


@pytest.fixture(scope="module")
def two(installed: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    ids: dict[str, TenantId] = {}
    folder = tmp_path_factory.mktemp("ledger")
    (folder / "notes").mkdir()
    create_key(folder / "key", "ledger.example")
    with owner_of(installed.settings) as owner:
        evidence = Evidence(owner)

        def ensure(name: str) -> TenantId:
            ids[name] = ensure_tenant(owner, slug_of(name), name)
            return ids[name]

        now = installed.clock.now()
        generator_of(installed.domain)(ensure, now=now, trace_id=new_trace_id(), scale=0.1)
        own, other = list(ids.values())[:2]
        with owner.transaction(None) as cursor:
            for email, role in ((EMAIL, "auditor"), (OWNER, "owner")):
                login = registry.create_login(cursor, email=email, password_hash=_hashed())
                registry.add_member(cursor, tenant_id=own, login_id=login, role=role)
            stranger = registry.create_login(
                cursor, email="owner@harbour.example", password_hash=_hashed()
            )
            registry.add_member(cursor, tenant_id=other, login_id=stranger, role="owner")
        keys = {
            str(tenant): [
                row[0]
                for row in evidence.sql("SELECT id FROM shop.notes WHERE tenant_id = %s", (tenant,))
            ]
            for tenant in (own, other)
        }
        _history(installed, evidence, own, other)
        outside = Outside("ledger.example", folder / "key", Folder(folder / "notes"))
        Ledger(installed.retention, outside, "test").publish(wait=True)
        app = create_app(installed, write_guard=partial(pass_gate, installed.app))
        client = log_in(app, EMAIL)
        two = Two(installed, evidence, own, other, client, Pages(client), keys)
        two.secrets.update(_secrets(evidence, own, str(stranger)))
        yield two


def _history(installed: Installation, evidence: Evidence, own: TenantId, other: TenantId) -> None:
    workshop = workshop_of(installed, actor="tester", options=Options(batch_size=10))
    retention = installed.retention
    for tenant in (own, other):
        _erase(installed, tenant)
        _purge(installed, evidence, tenant)
    run_once(workshop, lambda: workshop.plan(as_of=workshop.clock.now() - timedelta(days=400)))
    for tenant, matter in ((own, "Our matter"), (other, "Their secret matter")):
        place(retention, tenant, matter=matter, reason=f"{matter}: keep", actor=f"counsel {matter}")
        set_state(retention, tenant, "old-notes", "paused", actor=f"for {matter}")
    # What verifications ask for goes by these, and is kept with everybody's results.
    evidence.sql(
        "INSERT INTO tenure.policy_periods (policy, tenant_id, period, changed_by)"
        " SELECT p, %s, 'P7Y', 'counsel' FROM unnest(ARRAY['old-notes', 'invoices-10-years']) p",
        (str(other),),
    )
    [(customer,)] = evidence.sql(
        "SELECT id FROM shop.customers WHERE tenant_id = %s ORDER BY id LIMIT 1", (str(other),)
    )
    evidence.hold(
        other,
        scope="subject",
        table_name="shop.customers",
        subject_id=customer,
        matter="Harbour's buyer",
    )
    evidence.hold(
        other, scope="table", table_name="shop.notes", condition=f"r.body = '{PERSON}'",
        matter="Harbour and Roe",
    )  # fmt: skip
    stop(retention, actor="harbour-operator", reason=OTHERS_REASON)
    start(retention, actor="harbour-operator", reason=OTHERS_REASON)
    run = evidence.run(detail=OTHERS_REASON, started_by="for harbour alone")
    evidence.batch(run, other, "old-notes", 5)
    workshop.verify(trace_id=new_trace_id())
    evidence.read(reason=OTHERS_REASON)
    evidence.sql(
        "INSERT INTO tenure.watches (id, began_at, last_at, ticks)"
        " SELECT gen_random_uuid(), now() - interval '1 hour', now(), 9;"
        " INSERT INTO tenure.scheduled (name, due_at, taken_at, missed)"
        " SELECT 'verification', now() - interval '1 hour', now(), 1"
    )


CONNECTORS = """
[connectors.files]
kind = "files"
root = "/nowhere"
prefix = "{tenant}/{key}"
deadline = "P7D"
"""


def _erase(installed: Installation, tenant: TenantId) -> None:
    """Erase a customer, up to the connector that does not answer."""
    shop = replace(workshop_of(installed, actor="worker"), connectors=parse_connectors(CONNECTORS))
    desk = desk_of(installed, shop)
    ann, bob = (
        replace(desk, executor=replace(desk.executor, actor=f"{name} of {tenant}"))
        for name in ("ann", "bob")
    )
    with installed.retention.transaction(tenant, read_only=True) as cursor:
        cursor.execute(
            "SELECT id FROM shop.customers WHERE tenant_id = %s ORDER BY id LIMIT 1",
            (str(tenant),),
        )
        ((key,),) = cursor.fetchall()
    erasure = ann.request(tenant, "customer", requester="they", key=key).id
    ann.confirm(erasure, how="letter")
    ann.plan(erasure)
    bob.approve(erasure)
    assert desk.run(erasure).erasure.state == "deferred"


def _purge(installed: Installation, evidence: Evidence, tenant: TenantId) -> None:
    """A replay that took a note of the tenant, and left others; and the tenant is about to leave,
    with a copy, after it was and stayed."""
    replayed(evidence, tenant, keys=(_purged(tenant),), state="incomplete",
             kept={f"held of {tenant}": {"shop.notes": 1}})  # fmt: skip
    shop = workshop_of(installed, actor=f"ann of {tenant}")
    for grace in ("P0D", "P30D"):
        made = records.request(
            shop.retention, tenant, actor=shop.actor, reason=f"reason of {tenant}", grace=grace
        )
        one = shop.offboardings().find(made)
        copy = shop.exporter.of_tenant(io.BytesIO(), tenant, actor=shop.actor)
        records.note_export(shop.retention, one, copy.id)
        if grace == "P0D":
            records.take_back(
                shop.retention, one, actor=f"bob of {tenant}", reason=f"more of {tenant}"
            )
    evidence.sql(
        "INSERT INTO tenure.certificates (id, kind, subject_id, tenant_id, statement_sha256,"
        " release, issued_by) SELECT gen_random_uuid(), 'tenant', id, tenant_id,"
        " encode(sha256(id::text::bytea), 'hex'), '1', 'ops' FROM tenure.offboardings"
        " WHERE tenant_id = %s",
        (str(tenant),),
    )


def _purged(tenant: TenantId) -> UUID:
    """The key of the note that the tenant's replay took."""
    return UUID(int=tenant.int ^ 1)


def _secrets(evidence: Evidence, own: TenantId, stranger: str) -> dict[str, str]:
    """Others' names, ids, traces, digests and texts, each with what it is."""
    found = {
        OTHERS_REASON: "a reason", "harbour-operator": "an actor", stranger: "a login",
        "owner@harbour.example": "an address",
        "for harbour alone": "who started their run", PERSON: "a person",
    }  # fmt: skip
    for what, statement in {
        "a tenant": "SELECT id::text FROM tenure.tenants WHERE id <> %(own)s",
        "a slug": "SELECT slug FROM tenure.tenants WHERE id <> %(own)s",
        "a name": "SELECT name FROM tenure.tenants WHERE id <> %(own)s",
        "a batch": "SELECT id::text FROM tenure.batches WHERE tenant_id <> %(own)s",
        "a trace": "SELECT trace_id FROM tenure.runs r WHERE NOT EXISTS (SELECT FROM tenure.units"
        " u WHERE u.run_id = r.id AND u.tenant_id = %(own)s)",
        "a hold": "SELECT id::text FROM tenure.holds WHERE tenant_id <> %(own)s",
        "a held subject": "SELECT subject_id::text FROM tenure.holds"
        " WHERE tenant_id <> %(own)s AND subject_id IS NOT NULL",
        "a matter": "SELECT matter FROM tenure.holds WHERE tenant_id <> %(own)s",
        "a state's actor": "SELECT changed_by FROM tenure.policy_changes"
        " WHERE tenant_id <> %(own)s",
        "keys": "SELECT encode(sha256(hashes), 'hex') FROM tenure.deleted_keys"
        " WHERE tenant_id <> %(own)s",
        "an erasure": "SELECT id::text FROM tenure.erasures WHERE tenant_id <> %(own)s",
        "who asked": "SELECT entered_by FROM tenure.erasures WHERE tenant_id <> %(own)s",
        "erased keys": "SELECT encode(hashes, 'hex') FROM tenure.erased_keys"
        " WHERE tenant_id <> %(own)s",
        "an offboarding": "SELECT id::text FROM tenure.offboardings WHERE tenant_id <> %(own)s",
        "who leaves": "SELECT requested_by FROM tenure.offboardings WHERE tenant_id <> %(own)s",
        "why": "SELECT reason FROM tenure.offboardings WHERE tenant_id <> %(own)s",
        "who stays": "SELECT taken_back_by FROM tenure.offboardings WHERE tenant_id <> %(own)s"
        " AND taken_back_by IS NOT NULL",
        "a copy": "SELECT manifest_sha256 FROM tenure.exports WHERE tenant_id <> %(own)s"
        " AND state = 'finished'",
        "a certificate": "SELECT id::text FROM tenure.certificates WHERE tenant_id <> %(own)s",
        "a purge": "SELECT id::text FROM tenure.purges WHERE tenant_id <> %(own)s",
        "a purge's trace": "SELECT trace_id FROM tenure.purges WHERE tenant_id <> %(own)s",
        "a purge's batch": "SELECT id::text FROM tenure.purge_batches WHERE tenant_id <> %(own)s",
        "what stays": "SELECT jsonb_object_keys(kept) FROM tenure.purges"
        " WHERE tenant_id <> %(own)s",
        "purged keys": "SELECT encode(sha256(hashes), 'hex') FROM tenure.purged_keys"
        " WHERE tenant_id <> %(own)s",
        "a request": "SELECT id::text FROM tenure.connector_requests WHERE tenant_id <> %(own)s",
        "an entry": "SELECT id::text FROM tenure.ledger_entries WHERE tenant_id <> %(own)s",
    }.items():
        rows = evidence.sql(statement, {"own": str(own)})
        assert rows, what
        found |= {row[0]: what for row in rows}
    return found


def forms(name: str, query: str = "") -> list[str]:
    joined = "&".join(part for part in ("size=1000", query) if part)
    return [f"/console/{name}{suffix}?{joined}" for suffix in ("", ".json", ".csv", ".pdf")]


def text_of(two: Two, path: str) -> str:
    """Return an answer, headers and all, as text."""
    answer = two.client.get(path)
    assert answer.status_code == 200, (path, answer.text)
    body = paper_of(answer.data) if answer.mimetype == "application/pdf" else answer.text
    return f"{answer.headers}\n{body}"


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler-utils is not installed")
@pytest.mark.parametrize("name", OWN)
def test_no_form_of_any_report_tells_of_another(two: Two, name: str) -> None:
    queries = ["", "from=2000-01-01"]
    queries += ["draw=200&seed=x"] if name == "samples" else []
    for query in queries:
        for path in forms(name, query):
            assert two.leaks(text_of(two, path)) == [], path
    document = two.pages.json(f"/console/{name}")
    for table in [k for k, v in document.items() if isinstance(v, list)]:
        answer = two.client.get(f"/console/{name}.csv?size=1000&table={table}")
        assert two.leaks(answer.text) == []


def test_their_own_evidence_is_all_there(two: Two) -> None:
    """What the installation's auditor is told of this tenant, its own is told as well."""
    with owner_of(two.installation.settings) as owner, owner.transaction(None) as cursor:
        cursor.execute("SELECT slug FROM tenure.tenants WHERE id = %s", (str(two.own),))
        ((slug,),) = cursor.fetchall()
        registry.create_login(
            cursor, email="all@audit.example", password_hash=_hashed(), is_auditor=True
        )
    app = create_app(two.installation, write_guard=partial(pass_gate, two.installation.app))
    every = Pages(log_in(app, "all@audit.example"))
    seen = 0
    for name, tables in {
        "schedule": ("schedule", "own_terms"),
        "runs": ("runs", "gaps", "missed", "next"),
        "verifications": ("verifications",),
        "reconciliation": ("balances", "books"),
        "holds": ("holds", "events"),
        "erasures": ("erasures", "waiting", "erased", "kept", "events"),
        "connectors": ("connectors", "requests", "events"),
        "offboardings": ("offboardings", "purged", "stays"),
        "replays": ("replays", "purged", "left", "records"),
        "exports": ("exports", "certificates"),
        "restorations": ("restorations",),
    }.items():
        own = two.pages.json(f"/console/{name}?size=1000")
        whole = every.json(f"/console/{name}?size=1000&tenant={slug}")
        for table in tables:
            assert without(own[table]) == without(whole[table]), (name, table)
            seen += len(own[table])
    assert seen > 10
    assert own["restorations"] == [], "nothing of this tenant's came back"
    # Of reads over all tenants they are told when and from where: the rest may name others.
    reads = every.json("/console/reads?size=1000")["reads"]
    told = two.pages.json("/console/reads?size=1000")["reads"]
    assert [(r["id"], r["read_at"], r["place"]) for r in told] == [
        (r["id"], r["read_at"], r["place"]) for r in reads
    ]
    assert {(r["actor"], r["reason"], r["statement"], r["trace_id"]) for r in told} == {
        (None, None, None, None)
    }
    # Queries over all tenants are the installation's business; what they found is not.
    assert two.pages.json("/console/reconciliation")["populations"] == []
    assert len(every.json(f"/console/reconciliation?tenant={slug}")["populations"]) > 1
    query = "draw=200&seed=x&until=2100-01-01"
    own = two.pages.json(f"/console/samples?{query}")
    assert own == every.json(f"/console/samples?{query}&tenant={slug}") | {
        "generated_at": own["generated_at"]
    }
    assert len(own["samples"]) > 20
    assert {sample["proof"] for sample in own["samples"]} == {"proven"}
    kinds = {line["kind"] for line in two.pages.json("/console/changes?size=1000")["changes"]}
    assert kinds == {"policy", "own terms", "access"}


def without(value: Any) -> Any:
    """Leave out clocks, and what was not read for a tenant's auditor."""
    if isinstance(value, dict):
        return {k: without(v) for k, v in value.items() if k not in
                ("in_force_s", "ends_in_s", "left_s", "query", "issued_by")}  # fmt: skip
    return [without(item) for item in value] if isinstance(value, list) else value


def test_a_proof_taken_along_is_of_their_own_batch_and_holds(two: Two) -> None:
    [entry, *_] = two.pages.json("/console/samples?draw=1&seed=a")["entries"]
    answer = two.client.get(f"/console/batches/{entry['batch_id']}.tlog-proof")
    assert answer.text == entry["tlog_proof"]
    ((vkey,),) = two.evidence.sql("SELECT vkey FROM tenure.ledger_key_steps")
    note = answer.text.split("\n\n", 1)[1].encode()
    signed = SignedCheckpoint.verify(note, [VerifierKey.parse(vkey)])
    assert signed.checkpoint.root.hex() == entry["root"]
    assert two.leaks(answer.text) == []


def told(text: str) -> str:
    """Return an error's text without its own trace id."""
    return re.sub(r'"trace_id": "[0-9a-f]{32}"', "", text)


def test_anothers_batch_key_or_name_is_answered_like_none(two: Two) -> None:
    [(batch, table)] = two.evidence.sql(
        "SELECT batch_id::text, table_name FROM tenure.deleted_keys WHERE tenant_id = %s LIMIT 1",
        (str(two.other),),
    )
    nothing = "00000000-0000-7000-8000-000000000000"
    [(purged,)] = two.evidence.sql(
        "SELECT id::text FROM tenure.purge_batches WHERE tenant_id = %s", (str(two.other),)
    )
    for theirs_is, path in (
        (batch, "/console/batches/{}.tlog-proof"),
        (batch, f"/console/batches/{{}}/{table}.keys"),
        (batch, f"/console/batches/{{}}/{table}.starts"),
        (purged, "/console/batches/{}.tlog-proof"),
        (purged, "/console/batches/{}/shop.notes.delete.keys"),
    ):
        theirs = two.client.get(path.format(theirs_is), headers={"Accept": "application/json"})
        none = two.client.get(path.format(nothing), headers={"Accept": "application/json"})
        assert theirs.status_code == none.status_code == 404
        assert told(theirs.text.replace(theirs_is, nothing)) == told(none.text)
    gone = next(
        key for key in two.keys[str(two.other)]
        if not two.evidence.sql("SELECT FROM shop.notes WHERE id = %s", (str(key),))
    )  # fmt: skip
    asked = (gone, _purged(two.other), nothing)
    found = [two.pages.json(f"/console/samples?key={key}") for key in asked]
    for answer in found:
        del answer["generated_at"], answer["key"], answer["population"]["until"]
    assert found[0] == found[1] == found[2]
    [(slug,)] = two.evidence.sql("SELECT slug FROM tenure.tenants WHERE id = %s", (str(two.other),))
    answers = {
        told(two.client.get(f"/console/runs.json?tenant={name}").text.replace(name, ""))
        for name in (slug, "nobody-at-all")
    }
    assert len(answers) == 1
    assert two.client.get(f"/console/runs.json?tenant={slug}").status_code == 400


def test_their_own_key_is_found(two: Two) -> None:
    gone = next(
        key for key in two.keys[str(two.own)]
        if not two.evidence.sql("SELECT FROM shop.notes WHERE id = %s", (str(key),))
    )  # fmt: skip
    [sample] = two.pages.json(f"/console/samples?key={gone}&of=shop.notes")["samples"]
    assert (sample["key"], sample["proof"]) == (str(gone), "proven")
    page = two.client.get(f"/console/samples?key={gone}&of=shop.notes").text
    began = datetime.fromisoformat(sample["started_at"]).strftime("%Y-%m-%d %H:%M:%S")
    assert f"{began}</time>" in page
    [part] = two.pages.json(f"/console/samples?key={gone}&of=shop.notes")["commitments"]
    starts = two.client.get(f"/console/batches/{sample['batch_id']}/shop.notes.starts")
    assert hashlib.sha256(starts.data).hexdigest() == part["starts_sha256"]
    [row] = two.pages.json(f"/console/samples?key={_purged(two.own)}")["purged"]
    assert (row["purge"], row["proof"]) == ("replay", "proven")
    none = two.client.get(f"/console/batches/{row['batch_id']}/shop.notes.delete.starts")
    assert none.status_code == 404
    proof = two.client.get(f"/console/batches/{row['batch_id']}.tlog-proof")
    assert proof.status_code == 200
    assert two.leaks(proof.text) == []


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_pages_of_the_installation_are_refused(two: Two, accept: str) -> None:
    [(trace,)] = two.evidence.sql(
        "SELECT trace_id FROM tenure.runs WHERE trace_id NOT IN %s LIMIT 1",
        (tuple(two.secrets),),
    )
    [(verification,)] = two.evidence.sql("SELECT id::text FROM tenure.verifications LIMIT 1")
    paths = [f"/console/{name}" for name in REFUSED]
    paths += [
        f"/console/runs/{trace}", "/console/policies/old-notes",
        f"/console/verifications/{verification}", "/console/nothing",
    ]  # fmt: skip
    for path in paths:
        for suffix in ("", ".json", ".pdf", "?format=csv"):
            answer = two.client.get(path + suffix, headers={"Accept": accept})
            assert answer.status_code == 403, path
            assert two.leaks(answer.text) == []
    home = two.client.get("/console", headers={"Accept": accept})
    assert (home.status_code, home.location) == (302, "/console/schedule")


def test_pages_lead_nowhere_that_is_refused(two: Two) -> None:
    for name in OWN:
        page = two.pages.html(f"/console/{name}?size=5" + "&draw=5" * (name == "samples"))
        for target in set(re.findall(r'href="(/console/(?!static)[^"#]*)"', page)):
            answer = two.client.get(target.replace("&amp;", "&"))
            assert answer.status_code == 200, target


def test_the_api_is_refused_to_them_for_reading_and_writing(two: Two) -> None:
    with owner_of(two.installation.settings) as owner, owner.transaction(None) as cursor:
        login = registry.find_login(cursor, EMAIL)
        _, token = registry.issue_token(
            cursor, tenant_id=two.own, login_id=login, name="an auditor's"
        )
    headers = {"Authorization": f"Bearer {token}"}
    [(note,)] = two.evidence.sql(
        "SELECT id::text FROM shop.notes WHERE tenant_id = %s LIMIT 1", (str(two.own),)
    )
    client = two.client.application.test_client()
    for method, path, body in (
        ("GET", "/v1/notes", None),
        ("GET", f"/v1/notes/{note}", None),
        ("POST", "/v1/notes", {"body": "x"}),
        ("PATCH", f"/v1/notes/{note}", {"body": "x"}),
        ("DELETE", f"/v1/notes/{note}", None),
    ):
        answer = client.open(path, method=method, json=body, headers=headers)
        assert answer.status_code == 403, (method, path, answer.text)
        assert "auditors read its evidence" in answer.text
    assert two.client.get("/v1/notes").status_code == 403


def test_other_members_open_no_page(two: Two) -> None:
    app = create_app(two.installation, write_guard=partial(pass_gate, two.installation.app))
    client = log_in(app, OWNER)
    for name in REPORTS:
        assert client.get(f"/console/{name}.json").status_code == 403


def test_who_is_no_auditor_any_more_reads_nothing(two: Two) -> None:
    two.evidence.sql("UPDATE tenure.memberships SET role = 'viewer' WHERE role = 'auditor'")
    try:
        assert two.client.get("/console/runs.json").status_code == 403
    finally:
        two.evidence.sql("UPDATE tenure.memberships SET role = 'auditor' WHERE role = 'viewer'")
    assert two.client.get("/console/runs.json").status_code == 200


# -- the database, without any WHERE of ours -------------------------------------------------

TABLES = (
    "policy_versions", "policy_states", "policy_changes", "hold_events", "access_changes", "units",
    "batches", "deleted_keys", "runs", "interventions", "watches", "scheduled", "verifications",
    "verification_results", "reconciliations", "ledger_entries", "ledger_nodes",
    "ledger_checkpoints", "ledger_key_steps", "holds", "tenants", "erasures", "erasure_events",
    "erasure_batches", "erased_keys", "connector_requests", "connector_events", "offboardings",
    "purges", "purge_batches", "purged_keys", "exports", "certificates", "ledger_texts",
)  # fmt: skip


def read(app: RoleConnections, tenant: TenantId | None, statement: str) -> list[Any]:
    with app.transaction(tenant, read_only=True) as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


@pytest.mark.parametrize("table", TABLES)
def test_without_a_context_no_row_is_seen_and_in_one_no_others(two: Two, table: str) -> None:
    app = two.installation.app_connections
    columns = [
        row[0]
        for row in two.evidence.sql(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
            " AND NOT attisdropped"
            " AND has_column_privilege('tenure_app', attrelid, attnum, 'SELECT')",
            (f"tenure.{table}",),
        )
    ]
    assert columns
    statement = f"SELECT row({', '.join(columns)})::text FROM tenure.{table}"
    assert read(app, None, statement) == []
    rows = "\n".join(row[0] for row in read(app, two.own, statement))
    assert rows
    assert two.leaks(rows) == []
    assert read(app, None, "SELECT * FROM tenure.leaf_hashes(ARRAY[0,1])") == []


@pytest.mark.parametrize(
    "column",
    ["runs.plan", "runs.detail", "runs.catalog_digest", "interventions.reason",
     "interventions.actor", "verifications.findings", "ledger_entries.body",
     "ledger_key_steps.actor", "alerts.detail", "inspections.result",
     "cross_tenant_reads.reason", "batches.progress", "units.holder", "movements.hashes",
     "erasure_subjects.requester", "erasure_subjects.identity", "connector_requests.told",
     "exports.subject_hash", "certificates.issued_by",
     "offboardings.receipt_digest", "verification_results.query"],
)  # fmt: skip
def test_what_spans_tenants_is_not_to_be_selected(two: Two, column: str) -> None:
    table, name = column.split(".")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        read(two.installation.app_connections, two.own, f"SELECT {name} FROM tenure.{table}")


@pytest.mark.parametrize("table", TABLES)
def test_nothing_of_it_is_to_be_written(two: Two, table: str) -> None:
    app = two.installation.app_connections
    for statement in (f"DELETE FROM tenure.{table}", f"INSERT INTO tenure.{table} DEFAULT VALUES"):
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege),
            app.transaction(two.own) as cursor,
        ):
            cursor.execute(statement)
