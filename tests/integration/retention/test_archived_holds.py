"""Holds and archives: what was archived is under a hold as it would be where it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from api.wiring import Installation
from config.trace import new_trace_id
from retention.connectors.declarations import Connectors
from retention.connectors.delivery import Courier, deliver_due
from retention.connectors.requests import Person, request_erasure
from retention.errors import HeldError, RestoreError
from retention.graph import held_edges
from retention.held_rows import held_by
from retention.hold_records import find_hold
from retention.hold_scopes import TENANT, Scope
from retention.holds import pass_gate
from retention.offboardings.execution import Result
from retention.workshop import Workshop
from tenants.context import TenantId, tenant_scope
from tenants.database import TenantDatabase
from tenants.models import new_id
from tenants.writes import Write

from . import vault
from .conftest import LONG_AGO, Lab
from .test_connectors import connectors, receiver
from .test_offboardings import asked, executor
from .vault import (
    DELETING,
    OF_ARCHIVES,
    add,
    archived,
    bring_back,
    hold,
    ids,
    policies,
    subject,
    table,
)

__all__ = ["connectors", "receiver"]

ARCHIVES = ("vault.invoices", "vault.lines", "vault.notes")


@pytest.fixture
def firm(installation: Installation) -> Iterator[Lab]:
    yield from vault.create_firm(installation)


@pytest.fixture
def acme(firm: Lab, make_tenant: Callable[..., TenantId]) -> TenantId:
    return make_tenant("acme")


@pytest.fixture
def globex(firm: Lab, make_tenant: Callable[..., TenantId]) -> TenantId:
    return make_tenant("globex")


def there(firm: Lab) -> dict[str, set[str]]:
    return {name: ids(firm, name) for name in ARCHIVES}


def amiss(firm: Lab, shop: Workshop) -> set[str]:
    """Return what kinds of findings a verification comes to, but for what refers softly to rows
    that were archived."""
    return {r.kind for r in firm.verify(shop).results if r.is_finding and r.found} - {"orphans"}


def test_an_archives_own_policy_leaves_what_is_of_a_held_subject(
    firm: Lab, acme: TenantId, globex: TenantId
) -> None:
    held, free = archived(firm, acme), archived(firm, acme)
    others = archived(firm, globex)
    shop = firm.shop(policies=policies(OF_ARCHIVES))
    placed = hold(firm, acme, subject("firm.customers", held["customer"]))
    planned = {u.policy: u for u in shop.plan().units if u.tenant_id == acme}
    assert {p: [(k.reason, k.rows) for k in u.kept] for p, u in planned.items()} == {
        policy: [("held", 1)] for policy in ("vault-invoices", "vault-lines", "vault-notes")
    }
    before = {r.subject: (r.found, r.held) for r in firm.verify(shop).results
              if r.kind == "overdue" and r.tenant_id == acme}  # fmt: skip
    assert set(before.values()) == {(1, 1)}
    report = firm.run(shop)
    kinds = ("invoice", "line", "note")
    assert there(firm) == {n: {held[k]} for n, k in zip(ARCHIVES, kinds, strict=True)}
    assert report.rows == 6
    assert {free["note"], others["note"]}.isdisjoint(ids(firm, "vault.notes"))
    after = firm.verify(shop)
    assert after.findings == 0
    assert sum(r.held for r in after.results) == 3
    firm.release(placed)
    assert firm.run(shop).rows == 3
    assert firm.verify(shop).findings == 0


def test_an_archives_own_policy_leaves_what_meets_the_condition_of_a_hold(
    firm: Lab, acme: TenantId, globex: TenantId
) -> None:
    held, free = archived(firm, acme), archived(firm, acme)
    others = archived(firm, globex)
    shop = firm.shop(policies=policies(OF_ARCHIVES))
    scope = Scope("table", table("firm.invoices"), condition=f"r.id = '{held['invoice']}'")
    placed = hold(firm, acme, scope)
    assert find_hold(firm.installation.verifier, placed).rows_then == 1
    assert firm.sql("SELECT table_name, row_id::text FROM tenure.hold_rows") == [
        ("vault.invoices", held["invoice"])
    ]
    planned = {u.policy: u for u in shop.plan().units if u.tenant_id == acme}
    assert [(k.reason, k.rows) for k in planned["vault-invoices"].kept] == [("held", 1)]
    report = firm.run(shop)
    assert ids(firm, "vault.invoices") == {held["invoice"]}
    # A condition on invoices is on no lines and notes; what is archived needs none to be whole.
    assert ids(firm, "vault.lines") == ids(firm, "vault.notes") == set()
    assert report.state == "succeeded_with_skips"
    after = firm.verify(shop)
    assert (after.findings, sum(r.held for r in after.results)) == (0, 1)
    assert {free["invoice"], others["invoice"]}.isdisjoint(ids(firm, "vault.invoices"))
    firm.release(placed)
    assert firm.run(shop).rows == 1
    assert firm.verify(shop).findings == 0


def test_a_hold_notes_what_was_archived_of_its_subject_and_misses_it_when_it_is_gone(
    firm: Lab, acme: TenantId
) -> None:
    held = archived(firm, acme)
    placed = hold(firm, acme, subject("firm.customers", held["customer"]))
    found = find_hold(firm.installation.verifier, placed)
    assert (found.rows_then, found.keys_kept) == (4, True)
    noted = firm.sql("SELECT table_name, row_id::text FROM tenure.hold_rows")
    assert set(noted) == {
        ("firm.customers", held["customer"]),
        ("vault.invoices", held["invoice"]),
        ("vault.lines", held["line"]),
        ("vault.notes", held["note"]),
    }
    firm.sql("DELETE FROM vault.lines")
    missing = [(r.subject, r.found) for r in firm.verify(firm.shop()).results
               if r.kind == "held_missing" and r.found]  # fmt: skip
    assert missing == [("vault.lines", 1)]


def test_what_leads_to_a_held_subject_over_an_archived_row_is_held(
    firm: Lab, acme: TenantId
) -> None:
    """A note of later is about an invoice that is in the archive by now."""
    held, free = archived(firm, acme), archived(firm, acme)
    notes = [
        add(firm, acme, "firm.notes", about="invoice", subject_id=of["invoice"],
            written_at=LONG_AGO)
        for of in (held, free)
    ]  # fmt: skip
    hold(firm, acme, subject("firm.customers", held["customer"]))
    shop = firm.shop(policies=policies(DELETING["notes"]))
    (unit,) = shop.plan().units
    assert [(k.reason, k.rows) for k in unit.kept] == [("held", 1)]
    assert firm.run(shop).rows == 1
    assert ids(firm, "firm.notes") == {notes[0]}
    assert amiss(firm, shop) == set()


def written(firm: Lab, tenant: TenantId, note: str, columns: frozenset[str] | None) -> None:
    """Write a note as the application would; raises what the guard raises."""
    app = TenantDatabase(firm.installation.app_connections, vault.CATALOG)
    write = Write(table("firm.notes"), lambda: [UUID(note)], columns)
    try:
        with tenant_scope(tenant, actor="login:x", trace_id=new_trace_id()), app.atomic():
            assert pass_gate(app, write) == (UUID(note),)
    finally:
        app.close()


@pytest.mark.parametrize("on", ["customer", "invoice"])
@pytest.mark.parametrize("columns", [None, frozenset({"written_at"})], ids=["deleted", "changed"])
def test_no_user_writes_what_leads_to_a_held_subject_over_an_archived_row(
    firm: Lab, acme: TenantId, on: str, columns: frozenset[str] | None
) -> None:
    """Archives are closed to the application: it goes by what the hold has noted of them."""
    held, free = archived(firm, acme), archived(firm, acme)
    name = {"customer": "firm.customers", "invoice": "vault.invoices"}[on]
    notes = [
        add(firm, acme, "firm.notes", about="invoice", subject_id=of["invoice"])
        for of in (held, free)
    ]
    placed = hold(firm, acme, subject(name, held[on]))
    with pytest.raises(HeldError, match="is under legal hold: M-1"):
        written(firm, acme, notes[0], columns)
    written(firm, acme, notes[1], columns)
    firm.release(placed)
    hold(firm, acme, subject("firm.customers", free["customer"]))
    written(firm, acme, notes[0], columns)


def test_an_archived_subject_is_held_with_what_was_archived_beside_it(
    firm: Lab, acme: TenantId
) -> None:
    customer = add(firm, acme, "vault.customers")
    invoice = add(firm, acme, "vault.invoices", customer_id=customer)
    line = add(firm, acme, "vault.lines", invoice_id=invoice)
    note = add(firm, acme, "firm.notes", about="customer", subject_id=customer,
               written_at=LONG_AGO)  # fmt: skip
    add(firm, acme, "vault.lines", invoice_id=add(firm, acme, "vault.invoices",
                                                  customer_id=str(new_id())))  # fmt: skip
    hold(firm, acme, subject("vault.customers", customer))
    shop = firm.shop(policies=policies(OF_ARCHIVES, DELETING["notes"]))
    assert firm.run(shop).rows == 2
    assert ids(firm, "vault.customers") == {customer}
    assert ids(firm, "vault.invoices") == {invoice}
    assert ids(firm, "vault.lines") == {line}
    assert ids(firm, "firm.notes") == {note}
    assert amiss(firm, shop) == set()


def test_a_held_archived_row_keeps_nothing_that_it_referred_to(firm: Lab, acme: TenantId) -> None:
    """It has no references any more: what it belonged to may be gone long since."""
    of = archived(firm, acme)
    firm.sql("UPDATE firm.customers SET left_at = %s", (LONG_AGO,))
    hold(firm, acme, Scope("rows", vault.table("vault.invoices"), rows=(UUID(of["invoice"]),)))
    with firm.installation.verifier.transaction(None, read_only=True) as cursor:
        asked = cursor, held_edges(vault.CATALOG), acme
        assert held_by(*asked, vault.table("firm.customers"), UUID(of["customer"])) == ()
        assert held_by(*asked, vault.table("vault.invoices"), UUID(of["invoice"])) == ("M-1",)
    shop = firm.shop(policies=policies(DELETING["customers"], OF_ARCHIVES))
    # The line and the note are no part of an invoice that is held by its key.
    assert firm.run(shop).rows == 3
    assert there(firm) == {"vault.invoices": {of["invoice"]}, "vault.lines": set(),
                           "vault.notes": set()}  # fmt: skip
    assert firm.verify(shop).findings == 0


def offboarded(firm: Lab, tenant: TenantId) -> Result:
    with firm.installation.verifier.transaction(None, read_only=True) as cursor:
        cursor.execute("SELECT id FROM tenure.offboardings WHERE tenant_id = %s", (str(tenant),))
        known = [UUID(str(row[0])) for row in cursor.fetchall()]
    return executor(firm).run(known[0] if known else asked(firm, tenant))


def test_an_offboarding_leaves_what_was_archived_of_a_held_subject(
    firm: Lab, acme: TenantId
) -> None:
    held = archived(firm, acme)
    archived(firm, acme)
    placed = hold(firm, acme, subject("firm.customers", held["customer"]))
    result = offboarded(firm, acme)
    assert (result.offboarding.state, result.why) == ("deferred", "4 rows are held")
    assert there(firm) == {"vault.invoices": {held["invoice"]}, "vault.lines": {held["line"]},
                           "vault.notes": {held["note"]}}  # fmt: skip
    assert ids(firm, "firm.customers") == {held["customer"]}
    firm.release(placed)
    assert offboarded(firm, acme).offboarding.state == "completed"
    assert set().union(*there(firm).values()) == set()


def test_explaining_names_the_hold_on_an_archived_row(firm: Lab, acme: TenantId) -> None:
    held, free = archived(firm, acme), archived(firm, acme)
    hold(firm, acme, subject("firm.customers", held["customer"]))
    with firm.installation.verifier.transaction(None, read_only=True) as cursor:
        for kind, name in zip(("invoice", "line", "note"), ARCHIVES, strict=True):
            asked = cursor, held_edges(vault.CATALOG), acme, vault.table(name)
            assert held_by(*asked, UUID(held[kind])) == ("M-1",)
            assert held_by(*asked, UUID(free[kind])) == ()


def test_files_of_an_archived_row_wait_for_the_hold_on_its_subject(
    firm: Lab, acme: TenantId, connectors: Connectors
) -> None:
    held, free = archived(firm, acme), archived(firm, acme)
    hold(firm, acme, subject("firm.customers", held["customer"]))
    # A hold notes what it is on when it is placed; this line was archived since.
    line = add(firm, acme, "vault.lines", invoice_id=held["invoice"])
    files = {"documents": connectors["documents"]}
    installation = firm.installation
    courier = Courier(installation.retention, installation.verifier, files, vault.CATALOG)
    for key in (line, free["line"]):
        with installation.retention.transaction(acme) as cursor:
            request_erasure(
                cursor, new_id(), tenant_id=acme, person=Person("case", UUID(key)),
                connectors=files, actor="test",
            )  # fmt: skip
    assert deliver_due(courier, everything=True) == {"deferred": 1, "acknowledged": 1}


@pytest.mark.parametrize("kind", ["tenant", "subject", "rows", "table"])
def test_what_is_held_in_the_archive_stays_there(firm: Lab, acme: TenantId, kind: str) -> None:
    """Nothing changes or deletes a row under a hold; and what is held there by its key would not
    be where it comes back to."""
    of = archived(firm, acme)
    scopes: dict[str, Scope] = {
        "tenant": TENANT,
        "subject": subject("firm.customers", of["customer"]),
        "rows": Scope("rows", vault.table("vault.lines"), rows=(UUID(of["line"]),)),
        "table": Scope("table", vault.table("vault.notes"), condition="r.about = 'invoice'"),
    }
    placed = hold(firm, acme, scopes[kind])
    before = there(firm)
    ((trace_id,),) = firm.sql("SELECT trace_id FROM tenure.batches")
    with pytest.raises(RestoreError, match="under legal hold: M-1"):
        bring_back(firm, trace_id, acme)
    assert there(firm) == before
    assert firm.verify(firm.shop()).findings == 0
    firm.release(placed)
    assert sum(bring_back(firm, trace_id, acme).values()) == 3
