"""Who is forgotten is named nowhere any more; nothing else is lost, and nothing can hide in it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest

from config.trace import new_trace_id
from retention import holds
from retention.errors import LedgerError
from retention.interventions import start, stop
from retention.ledger.forgetting import ask, forget, forgettings, places_naming
from retention.ledger.publishing import Ledger
from retention.ledger.verifier import Trust, verify_export
from retention.policy_records import set_state
from tenants.context import TenantId
from tenants.crossing import cross_tenant
from tenants.registry import create_login
from tests.acceptance.sentinels import dump_of, found_in, tables_of

from .test_ledger_audit import Intruder, audit, exported, ledger
from .test_ledger_publishing import outside_of

__all__ = ["ledger"]
NAME = "ada.lovelace@example.org"
ROOT_TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'tenure'::regnamespace AND relkind = 'r'"
    " ORDER BY 1"
)


@pytest.fixture
def evidence(lab: Any, acme: TenantId, ledger: Ledger) -> Ledger:
    """A published ledger of what NAME did, and of what was done for them; no hold is left."""
    retention = lab.installation.retention
    lab.case(acme)
    with lab.owner, lab.owner.cursor() as cursor:
        login = create_login(cursor, email=NAME, password_hash="none")
        cursor.execute("UPDATE tenure.logins SET disabled_at = now() WHERE id = %s", (login,))
    hold = holds.place(retention, acme, matter=f"Claim of {NAME}", reason="litigation", actor=NAME)
    holds.release(retention, lab.installation.verifier, hold, actor=NAME, grace="P0D")
    stop(retention, actor=NAME, reason=NAME)
    start(retention, actor=NAME, reason=f"{NAME} is back")
    with cross_tenant(
        lab.installation.verifier, retention, reason="asked", actor=NAME, trace_id=new_trace_id()
    ) as reader:
        reader.read("SELECT 1")
    lab.shop().record()
    set_state(retention, acme, "cases", "paused", actor=NAME)
    set_state(retention, acme, "cases", "active", actor="somebody else")
    lab.run()
    lab.verify()
    lab.sql("UPDATE tenure.runs SET detail = %s", (f"called {NAME.upper()}",))
    ledger.publish()
    return ledger


@pytest.fixture
def intruder(lab: Any, ledger: Ledger) -> Iterator[Intruder]:
    with closing(psycopg2.connect(lab.installation.settings.database_url)) as connection:
        yield Intruder(connection, lab, ledger)


def asked(lab: Any, sought: str = NAME, **more: Any) -> UUID:
    given: dict[str, Any] = {
        "parts": True, "tenant_id": None, "reason": "GDPR 17", "actor": "one",
    } | more  # fmt: skip
    return ask(lab.installation.retention, sought, **given)


def done(lab: Any, which: UUID, sought: str = NAME, **more: Any) -> dict[str, int]:
    given: dict[str, Any] = {"actor": "another", "alone": False} | more
    return forget(lab.installation.retention, which, sought, **given)


def places(lab: Any, sought: str = NAME, **more: Any) -> dict[str, int]:
    given: dict[str, Any] = {"parts": True, "tenant_id": None} | more
    found = places_naming(lab.installation.verifier, sought, **given)
    return {f"{place.table}.{place.column}": place.rows for place in found}


def rows(lab: Any) -> dict[str, int]:
    return {
        table: lab.sql(f"SELECT count(*) FROM tenure.{table}")[0][0]
        for (table,) in lab.sql(ROOT_TABLES)
    }


def test_nothing_names_them_after_it_and_nothing_else_is_lost(lab: Any, evidence: Ledger) -> None:
    before, where = rows(lab), places(lab)
    counts = done(lab, asked(lab))
    ours = {place: many for place, many in where.items() if not place.startswith("ledger_texts")}
    assert ours == {place: many for place, many in counts.items() if place != "ledger_texts"}
    assert {
        "holds.matter", "holds.placed_by", "logins.email", "cross_tenant_reads.actor",
        "interventions.reason", "runs.detail", "policy_changes.changed_by",
    } <= set(ours)  # fmt: skip
    assert counts["ledger_texts"] == sum(where.values()) - sum(ours.values())
    parts = tables_of(dump_of(lab.installation.settings.database_url))
    assert {table for table, part in parts.items() if found_in(part, NAME)} == set()
    after = rows(lab)
    assert after["ledger_texts"] == before["ledger_texts"] - counts["ledger_texts"] + 5
    assert after["forgotten_texts"] == counts["ledger_texts"]
    assert {table for table in before if after[table] < before[table]} == {"ledger_texts"}
    assert places(lab) == {}


def test_the_audit_finds_nothing_and_says_how_many_were_forgotten(
    lab: Any, evidence: Ledger
) -> None:
    held = outside_of(evidence).folder.last()
    given_out = exported(lab)
    assert audit(lab, evidence).findings == ()
    which = asked(lab)
    counts = done(lab, which)
    assert audit(lab, evidence).findings == (), "before it is published, too"
    evidence.publish()
    found = audit(lab, evidence, since=(held, "held"))
    assert found.findings == ()
    assert found.texts.forgotten == counts["ledger_texts"]
    trust = Trust(keys=found.keys)
    for content in (given_out, exported(lab)):
        verify_export(io.BytesIO(content), trust)
    ((mark,),) = lab.sql("SELECT DISTINCT placed_by FROM tenure.holds")
    assert re.fullmatch(rf"forgotten on 20\d\d-\d\d-\d\d \({which}\)", mark)


def test_what_is_done_later_to_rows_that_were_forgotten_gives_no_finding(
    lab: Any, acme: TenantId, evidence: Ledger
) -> None:
    done(lab, asked(lab))
    lab.sql("UPDATE tenure.runs SET detail = 'more is known'")
    set_state(lab.installation.retention, acme, "cases", "paused", actor="one")
    lab.sql("UPDATE tenure.runs SET finished_at = clock_timestamp()")
    assert audit(lab, evidence).findings == ()


def test_it_is_recorded_by_whom_and_why_and_of_whom_nothing(lab: Any, evidence: Ledger) -> None:
    which = asked(lab)
    (waiting,) = forgettings(lab.installation.auditor)
    assert (waiting.id, waiting.requested_by, waiting.done_at) == (str(which), "one", None)
    counts = done(lab, which)
    (found,) = forgettings(lab.installation.auditor)
    assert (found.done_by, found.counts, found.reason) == ("another", counts, "GDPR 17")
    assert lab.sql("SELECT salt, sought_sha256 FROM tenure.forgettings") == [(None, None)]
    kinds = lab.sql(
        "SELECT kind, body -> 'record' ->> 'texts_count' FROM tenure.ledger_entries"
        " WHERE source = 'forgettings' ORDER BY recorded_at"
    )
    assert kinds == [("forgetting", "0"), ("forgetting-changed", str(counts["ledger_texts"]))]
    json.dumps(found.to_json())


def test_only_whole_texts_go_unless_parts_are_asked_for(lab: Any, evidence: Ledger) -> None:
    assert "holds.matter" not in places(lab, parts=False)
    counts = done(lab, asked(lab, parts=False))
    assert "holds.matter" not in counts
    assert lab.sql("SELECT matter FROM tenure.holds") == [(f"Claim of {NAME}",)]
    assert audit(lab, evidence).findings == ()


def test_one_tenants_alone_leaves_the_others(
    lab: Any, acme: TenantId, globex: TenantId, evidence: Ledger
) -> None:
    retention = lab.installation.retention
    other = holds.place(retention, globex, matter="m", reason="r", actor=NAME)
    holds.release(retention, lab.installation.verifier, other, actor="judge", grace="P0D")
    done(lab, asked(lab, tenant_id=acme))
    assert lab.sql("SELECT placed_by FROM tenure.holds WHERE tenant_id = %s", (globex,)) == [
        (NAME,)
    ]
    assert places(lab, tenant_id=acme) == {}
    assert {"holds.placed_by", "interventions.actor", "logins.email"} <= set(places(lab))
    assert audit(lab, evidence).findings == ()


# --- Refused


def test_a_tenant_under_a_hold_keeps_its_texts(lab: Any, acme: TenantId, evidence: Ledger) -> None:
    lab.hold(acme)
    found = places_naming(lab.installation.verifier, NAME, parts=True, tenant_id=None)
    assert {place.held for place in found if place.tenant_id == str(acme)} == {True}
    which = asked(lab)
    with pytest.raises(LedgerError, match=f"under a hold, the records of tenant {acme} keep"):
        done(lab, which)
    assert places(lab)
    assert rows(lab)["forgotten_texts"] == 0


def test_a_hold_that_is_placed_meanwhile_is_waited_for(
    lab: Any, acme: TenantId, evidence: Ledger
) -> None:
    """Whoever places it first, wins: the two do not pass each other."""
    which = asked(lab)
    url = lab.installation.settings.role_url("tenure_owner")
    with (
        closing(psycopg2.connect(url)) as other,
        other.cursor() as placing,
        lab.installation.retention.transaction(None) as cursor,
    ):
        placing.execute("LOCK TABLE tenure.holds IN ROW EXCLUSIVE MODE")  # as who places one
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            cursor.execute("SELECT tenure.forget(%s, %s, 'another', false)", (str(which), NAME))
    assert places(lab)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"actor": "one"}, "does not do it as well"),
        ({"sought": "somebody else"}, "not the text"),
        ({"which": uuid4()}, "there is no forgetting"),
    ],
)
def test_it_is_refused(lab: Any, evidence: Ledger, change: dict[str, Any], said: str) -> None:
    which, before = asked(lab), places(lab)
    with pytest.raises(LedgerError, match=said):
        done(lab, **({"which": which} | change))
    assert places(lab) == before


def test_it_is_done_once(lab: Any, evidence: Ledger) -> None:
    which = asked(lab)
    done(lab, which)
    with pytest.raises(LedgerError, match="there is no forgetting"):
        done(lab, which)


def test_one_person_may_do_both_where_the_settings_say_so(lab: Any, evidence: Ledger) -> None:
    assert done(lab, asked(lab), actor="one", alone=True)["ledger_texts"] > 0


def test_who_can_log_in_is_not_forgotten(lab: Any, evidence: Ledger) -> None:
    lab.sql("UPDATE tenure.logins SET disabled_at = NULL")
    with pytest.raises(LedgerError, match="disable the login first"):
        done(lab, asked(lab))


@pytest.mark.parametrize("sought", ["", "  ", "ab", " a "])
def test_what_names_nobody_is_refused(lab: Any, evidence: Ledger, sought: str) -> None:
    with pytest.raises(LedgerError, match="fewer than three characters"):
        places(lab, sought)


def test_a_forgetting_needs_a_reason(lab: Any, evidence: Ledger) -> None:
    with pytest.raises(LedgerError, match="needs a reason"):
        asked(lab, reason=" ")


# --- Tried by those who would hide something


CALLS = (
    "SELECT tenure.forget(gen_random_uuid(), 'x', 'y', true)",
    "SELECT * FROM tenure.texts_naming('some text', false, NULL)",
    "INSERT INTO tenure.forgotten_texts VALUES (gen_random_uuid(), 'f', gen_random_uuid())",
    "UPDATE tenure.forgettings SET reason = 'other'",
    "DELETE FROM tenure.forgettings",
    "SELECT salt FROM tenure.forgettings",
    "INSERT INTO tenure.forgettings (id, parts, requested_by, reason, done_by, counts, done_at)"
    " VALUES (gen_random_uuid(), true, 'a', 'b', 'c', '{}', now())",
)
MAY = {("retention", CALLS[0]), ("verifier", CALLS[1])}


@pytest.mark.parametrize(
    ("role", "call"),
    [
        (role, call)
        for role in ("app", "auditor", "retention", "verifier")
        for call in CALLS
        if (role, call) not in MAY
    ],
)
def test_no_role_does_more_than_its_part(lab: Any, evidence: Ledger, role: str, call: str) -> None:
    asked(lab)
    url = lab.installation.settings.role_url(f"tenure_{role}")
    with (
        closing(psycopg2.connect(url)) as connection,
        connection.cursor() as cursor,
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
    ):
        cursor.execute(call)


def rewrite_forgotten(intruder: Intruder) -> None:
    intruder.sql("UPDATE tenure.holds SET placed_by = 'Mallory'")


def borrow_the_mark(intruder: Intruder) -> None:
    """Of a text that was not forgotten."""
    intruder.sql(
        "UPDATE tenure.holds SET reason = placed_by WHERE placed_by LIKE 'forgotten on %%'"
    )


def forget_more(intruder: Intruder) -> None:
    intruder.sql(
        "INSERT INTO tenure.forgotten_texts"
        " SELECT x.entry_id, x.field, f.id FROM tenure.ledger_texts x, tenure.forgettings f LIMIT 1"
    )


def forget_by_hand(intruder: Intruder) -> None:
    intruder.sql(
        "DELETE FROM tenure.ledger_texts x USING tenure.ledger_entries e"
        " WHERE e.id = x.entry_id AND e.source = 'holds' AND x.field = 'reason'"
    )
    intruder.sql(
        "INSERT INTO tenure.forgotten_texts SELECT e.id, 'reason', f.id"
        " FROM tenure.ledger_entries e, tenure.forgettings f WHERE e.source = 'holds'"
    )


def deny_it(intruder: Intruder) -> None:
    intruder.sql("DELETE FROM tenure.forgotten_texts")


def deny_who(intruder: Intruder) -> None:
    intruder.sql("UPDATE tenure.forgettings SET done_by = 'somebody else'")


@pytest.mark.parametrize(
    "tamper",
    [rewrite_forgotten, borrow_the_mark, forget_more, forget_by_hand, deny_it, deny_who],
)
def test_what_hides_behind_a_forgetting_is_found(
    lab: Any, evidence: Ledger, intruder: Intruder, tamper: Callable[[Intruder], None]
) -> None:
    done(lab, asked(lab))
    evidence.publish()
    assert audit(lab, evidence).findings == ()
    tamper(intruder)
    assert audit(lab, evidence).findings != ()


def test_every_text_is_one_that_can_be_forgotten_or_has_a_reason_not_to(lab: Any) -> None:
    """A column of text that comes later is decided on: does it name people?"""
    there = {
        f"{table}.{column}"
        for table, column in lab.sql(
            "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " WHERE c.relnamespace = 'tenure'::regnamespace AND c.relkind = 'r'"
            " AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid = 'text'::regtype"
        )
    }
    plain = {
        f"{table}.{column}"
        for table, columns in lab.sql("SELECT table_name, plain FROM tenure.ledger_sources")
        for column in columns
    }
    naming = {
        f"{table}.{column}" for table, column in lab.sql("SELECT * FROM tenure.naming_columns()")
    }
    assert naming & plain == set(), "what stands in the ledger's leaves cannot be forgotten"
    assert naming <= there
    structure = re.compile(r"\.(table_name|action|kind|source|row_key|field|policy|movement|name)$")
    undecided = {each for each in there - naming - plain if not structure.search(each)}
    assert undecided == set(NO_NAMES)


NO_NAMES = {
    "certificate_orders.state": "how far it is",
    "connector_requests.subject": "what kind of subject, as subjects.toml names it",
    "cross_tenant_reads.statement": "its digest is entered; it goes by its age",
    "erasure_subjects.asked_by": "goes when the request ends",
    "erasure_subjects.identity": "goes when the request ends",
    "erasure_subjects.requester": "goes when the request ends",
    "inspections.result": "what a tool printed; its digest is entered",
    "leases.holder": "a process, while it works",
    "ledger_checkpoints.note": "signed, and given out",
    "ledger_texts.content": "gone through by what it is of",
    "logins.password_hash": "no text that anybody reads",
    "removals.trace_id": "a trace",
    "tenants.slug": "a tenant goes by offboarding",
    "units.holder": "a process, while it works",
    "verification_results.query": "the product's own",
    "verification_results.subject": "a policy or a reference",
}
