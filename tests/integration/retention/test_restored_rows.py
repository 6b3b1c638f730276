"""What came back from an archive stays as long as was said, whichever policy would take it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from api.wiring import Installation
from retention import interventions
from retention.errors import RestoreError
from retention.executor import Options
from retention.explain import Question, explain
from retention.graph import held_edges
from retention.held_rows import held_by
from retention.policies import Policy
from tenants.context import TenantId
from tenants.models import new_id

from . import vault
from .conftest import LATELY, LONG_AGO, Lab
from .vault import ARCHIVING, DELETING, add, bring_back, ids, policies, table

# As a customer's notes go along with it.
WITH_NOTES = DELETING["customers"] + 'with = ["firm.notes"]\n'
ARCHIVING_NOTES = DELETING["notes"] + 'action = "archive"\narchive = "vault"\n'


@pytest.fixture
def firm(installation: Installation) -> Iterator[Lab]:
    yield from vault.create_firm(installation)


@pytest.fixture
def acme(firm: Lab, make_tenant: Callable[..., TenantId]) -> TenantId:
    return make_tenant("acme")


def invoice_with_note(firm: Lab, tenant: TenantId) -> tuple[str, str]:
    customer = add(firm, tenant, "firm.customers")
    invoice = add(firm, tenant, "firm.invoices", customer_id=customer, issued_at=LONG_AGO)
    note = add(firm, tenant, "firm.notes", about="invoice", subject_id=invoice,
               written_at=LONG_AGO)  # fmt: skip
    return invoice, note


def findings(firm: Lab, shop: Any) -> list[tuple[str, str, int]]:
    results = firm.verify(shop).results
    return [(r.kind, r.subject, r.found) for r in results if r.is_finding and r.found]


def test_what_came_back_along_with_others_is_not_deleted_by_its_own_policy(
    firm: Lab, acme: TenantId
) -> None:
    """A note that is past its own period when its invoice comes back."""
    invoice, note = invoice_with_note(firm, acme)
    _, other = invoice_with_note(firm, acme)
    firm.sql("UPDATE firm.invoices SET issued_at = %s WHERE id <> %s", (LATELY, invoice))
    archived = firm.run(firm.shop(policies=policies(ARCHIVING)))
    assert archived.rows == 2
    assert sum(bring_back(firm, archived.trace_id, acme).values()) == 2
    shop = firm.shop(policies=policies(ARCHIVING, DELETING["notes"]))
    assert [(u.policy, u.due) for u in shop.plan().units] == [("notes", 1)]
    assert [f for f in findings(firm, shop) if f[0] == "overdue"] == [("overdue", "notes", 1)]
    assert firm.run(shop).rows == 1
    assert ids(firm, "firm.notes") == {note}
    assert ids(firm, "firm.invoices") >= {invoice}
    assert findings(firm, shop) == []
    assert other not in ids(firm, "firm.notes")


def test_when_its_time_is_over_its_own_policy_deletes_it(firm: Lab, acme: TenantId) -> None:
    invoice_with_note(firm, acme)
    archived = firm.run(firm.shop(policies=policies(ARCHIVING)))
    bring_back(firm, archived.trace_id, acme, days=-1)
    assert firm.run(firm.shop(policies=policies(DELETING["notes"]))).rows == 1


@pytest.mark.parametrize("step", ["checked", "recorded"])
def test_what_comes_back_in_mid_batch_is_not_taken_by_it(
    firm: Lab, acme: TenantId, step: str
) -> None:
    """The batch knows of nothing that came back; so who restores waits for it."""
    _, note = invoice_with_note(firm, acme)
    archived = firm.run(firm.shop(policies=policies(ARCHIVING)))
    due = [add(firm, acme, "firm.notes", about="customer", subject_id=str(new_id()),
               written_at=LONG_AGO) for _ in range(3)]  # fmt: skip
    came: list[int] = []

    def restoring() -> None:
        came.append(sum(bring_back(firm, archived.trace_id, acme).values()))

    restorer = threading.Thread(target=restoring, daemon=True)

    def on_step(now_at: str) -> None:
        if now_at == step and restorer.ident is None:
            restorer.start()
            firm.wait_for_a_waiter()
            assert came == []

    options = Options(batch_size=2, lock_timeout_ms=2000, on_step=on_step)
    report = firm.run(firm.shop(policies=policies(DELETING["notes"]), options=options))
    restorer.join()
    assert came == [2]
    assert report.rows == 3
    assert ids(firm, "firm.notes") == {note}
    assert note not in due


def test_what_came_back_does_not_go_along_with_others(firm: Lab, acme: TenantId) -> None:
    """And so keeps what it would go along with."""
    customers = [add(firm, acme, "firm.customers", left_at=LONG_AGO) for _ in range(2)]
    note = add(firm, acme, "firm.notes", about="customer", subject_id=customers[0],
               written_at=LONG_AGO)  # fmt: skip
    archived = firm.run(firm.shop(policies=policies(ARCHIVING_NOTES)))
    assert archived.rows == 1
    bring_back(firm, archived.trace_id, acme)
    shop = firm.shop(policies=policies(WITH_NOTES))
    (unit,) = shop.plan().units
    assert [(k.reason, k.rows, k.detail) for k in unit.kept] == [
        ("referenced", 1, "the restoration of firm.notes")
    ]
    before = [r for r in firm.verify(shop).results if r.kind == "overdue"]
    assert [(r.found, r.undeletable, r.reasons) for r in before] == [
        (1, 1, {"the restoration of firm.notes": 1})
    ]
    assert firm.run(shop).rows == 1
    assert ids(firm, "firm.customers") == {customers[0]}
    assert ids(firm, "firm.notes") == {note}
    assert findings(firm, shop) == []


def told(firm: Lab, declared: tuple[Policy, ...], name: str, row: str) -> Any:
    with firm.installation.verifier.transaction(None, read_only=True) as cursor:
        (found,) = explain(
            cursor,
            Question(table(name), UUID(row)),
            catalog=vault.CATALOG,
            policies=declared,
            held_by=partial(held_by, cursor, held_edges(vault.CATALOG)),
            now=firm.now,
        )
    return found.removal


def test_it_is_explained_by_its_restoration(firm: Lab, acme: TenantId) -> None:
    _, note = invoice_with_note(firm, acme)
    declared = policies(DELETING["notes"])
    assert told(firm, declared, "firm.notes", note).outcome == "due"
    archived = firm.run(firm.shop(policies=policies(ARCHIVING)))
    bring_back(firm, archived.trace_id, acme)
    removal = told(firm, declared, "firm.notes", note)
    assert (removal.outcome, removal.because) == ("kept", "its restoration")


# -- whole or not at all ---------------------------------------------------------------------

NEWER = "ALTER TABLE {}.invoices ADD COLUMN worth text"
WORTH = "SELECT worth FROM firm.invoices UNION ALL SELECT worth FROM vault.invoices"


def test_a_row_is_not_archived_without_what_a_newer_release_keeps_in_it(
    firm: Lab, acme: TenantId
) -> None:
    """Its migration has run, and this release's workers go on."""
    invoice_with_note(firm, acme)
    for schema in ("firm", "vault"):
        firm.sql(NEWER.format(schema))
    firm.sql("UPDATE firm.invoices SET worth = 'much'")
    report = firm.run(firm.shop(policies=policies(ARCHIVING)))
    assert report.state == "failed"
    assert "firm.invoices.worth: no model knows it" in report.detail
    assert firm.sql(WORTH) == [("much",)]
    assert ids(firm, "vault.notes") == set()


def test_what_the_database_makes_of_other_columns_is_in_no_archives_way(
    firm: Lab, acme: TenantId
) -> None:
    invoice_with_note(firm, acme)
    firm.sql(
        "ALTER TABLE firm.invoices ADD COLUMN year int"
        " GENERATED ALWAYS AS (extract(year FROM issued_at AT TIME ZONE 'UTC')) STORED"
    )
    archived = firm.run(firm.shop(policies=policies(ARCHIVING)))
    assert archived.rows == 2
    assert sum(bring_back(firm, archived.trace_id, acme).values()) == 2
    assert firm.sql("SELECT year FROM firm.invoices") == [(LONG_AGO.year,)]


def test_a_row_does_not_come_back_without_what_a_newer_release_archived(
    firm: Lab, acme: TenantId
) -> None:
    invoice_with_note(firm, acme)
    archived = firm.run(firm.shop(policies=policies(ARCHIVING)))
    for schema in ("firm", "vault"):
        firm.sql(NEWER.format(schema))
    firm.sql("UPDATE vault.invoices SET worth = 'much'")
    with pytest.raises(RestoreError, match=r"vault\.invoices\.worth: no model knows it"):
        bring_back(firm, archived.trace_id, acme)
    assert firm.sql(WORTH) == [("much",)]
    assert len(ids(firm, "vault.notes")) == 1


@pytest.mark.parametrize("action", ["stop", "restored"])
def test_nothing_comes_back_while_all_retention_is_stopped(
    firm: Lab, acme: TenantId, action: str
) -> None:
    """A database that was restored itself lacks the holds placed since its backup."""
    invoice, _ = invoice_with_note(firm, acme)
    archived = firm.run(firm.shop(policies=policies(ARCHIVING)))
    retention = firm.installation.retention
    if action == "stop":
        interventions.stop(retention, actor="test", reason="an inquiry")
    else:
        interventions.restored(retention, actor="test")
    with pytest.raises(RestoreError, match="all retention is stopped"):
        bring_back(firm, archived.trace_id, acme)
    assert ids(firm, "vault.invoices") == {invoice}
    interventions.start(retention, actor="test", reason="the holds are in")
    assert sum(bring_back(firm, archived.trace_id, acme).values()) == 2


def test_a_row_that_no_longer_fits_is_said_to_be_so(firm: Lab, acme: TenantId) -> None:
    invoice_with_note(firm, acme)
    archived = firm.run(firm.shop(policies=policies(ARCHIVING)))
    firm.sql("ALTER TABLE firm.invoices ADD COLUMN worth text NOT NULL")
    with pytest.raises(RestoreError, match="worth"):
        bring_back(firm, archived.trace_id, acme)
    assert len(ids(firm, "vault.invoices")) == 1


def test_what_did_not_come_back_with_its_batch_is_found_if_it_does_later(
    firm: Lab, acme: TenantId
) -> None:
    """It had gone from the archive by then, by that one's own policy."""
    invoice, _ = invoice_with_note(firm, acme)
    old, _ = invoice_with_note(firm, acme)
    archived = firm.run(firm.shop(policies=policies(ARCHIVING)))
    firm.sql("UPDATE vault.invoices SET archived_at = %s WHERE id = %s", (LONG_AGO, old))
    shop = firm.shop(policies=policies(ARCHIVING, vault.OF_ARCHIVES))
    assert firm.run(shop).rows == 1
    assert sum(bring_back(firm, archived.trace_id, acme).values()) == 3
    assert ids(firm, "firm.invoices") == {invoice}
    assert not [f for f in findings(firm, shop) if f[0] == "returned"]
    customer = min(ids(firm, "firm.customers"))
    firm.sql("INSERT INTO firm.invoices (tenant_id, id, customer_id) VALUES (%s, %s, %s)",
             (str(acme), old, customer))  # fmt: skip
    assert [f for f in findings(firm, shop) if f[0] == "returned"] == [
        ("returned", "firm.invoices", 1)
    ]
