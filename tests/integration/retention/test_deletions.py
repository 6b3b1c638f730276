"""A key that somebody presents: whether it went, when, under which run and rule."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg2
import pytest

from retention import deletions
from tenants.catalog import TableName
from tenants.context import TenantId

CASES, PAGES = TableName("lab", "cases"), TableName("lab", "pages")


def find(lab: Any, tenant: TenantId, table: TableName, key: str) -> list[deletions.Deletion]:
    with lab.installation.auditor.transaction(None, read_only=True) as cursor:
        return deletions.find(cursor, tenant, table, UUID(key))


def test_a_deleted_key_is_found_with_run_batch_and_rule(lab: Any, acme: TenantId) -> None:
    cases = [lab.case(acme, files=1) for _ in range(7)]
    pages = lab.ids("pages")
    kept = lab.case(acme, opened=lab.lately)
    report = lab.run()
    batches = set()
    for case in cases:
        (found,) = find(lab, acme, CASES, case)
        assert (found.run_id, found.trace_id) == (report.run_id, report.trace_id)
        assert (found.policy, found.version) == ("cases", 1)
        assert found.cutoff < found.deleted_at
        batches.add(found.batch_id)
    assert len(batches) == 3
    assert all(find(lab, acme, PAGES, page)[0].batch_id in batches for page in pages)
    assert find(lab, acme, CASES, kept) == []


def test_a_key_is_found_under_its_own_tenant_and_table_alone(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    case = lab.case(acme)
    lab.run()
    assert len(find(lab, acme, CASES, case)) == 1
    assert find(lab, globex, CASES, case) == []
    assert find(lab, acme, PAGES, case) == []


def test_a_row_that_came_back_and_went_again_is_found_twice(lab: Any, acme: TenantId) -> None:
    case = lab.case(acme)
    first = lab.run()
    lab.add("cases", acme, id=case, opened=lab.long_ago.date())
    second = lab.run()
    assert [d.run_id for d in find(lab, acme, CASES, case)] == [first.run_id, second.run_id]


def test_hashes_that_only_overlap_to_the_one_asked_for_are_no_match(
    lab: Any, acme: TenantId
) -> None:
    case = lab.case(acme)
    lab.run()
    ((hashes,),) = lab.sql("SELECT hashes FROM tenure.deleted_keys")
    across = b"\0" * 8 + bytes(hashes) + b"\0" * 8
    lab.sql("ALTER TABLE tenure.deleted_keys DISABLE TRIGGER append_only")
    lab.sql("UPDATE tenure.deleted_keys SET hashes = %s, starts = NULL", (across,))
    assert find(lab, acme, CASES, case) == []
    lab.sql("UPDATE tenure.deleted_keys SET hashes = %s", (across + bytes(hashes),))
    assert len(find(lab, acme, CASES, case)) == 1


def test_what_is_committed_to_is_what_postgresql_computes(lab: Any, acme: TenantId) -> None:
    for _ in range(5):
        lab.case(acme, files=2)
    lab.sql("CREATE TABLE lab.before AS SELECT id FROM lab.pages")
    lab.run()
    hash_of = "substr(sha256(uuid_send(id)), 1, 16)"
    assert lab.sql(
        "SELECT substr(k.hashes, at, 16) FROM tenure.deleted_keys k,"
        " generate_series(1, octet_length(k.hashes), 16) at WHERE table_name = 'lab.pages'"
        " ORDER BY 1"
    ) == lab.sql(f"SELECT {hash_of} FROM lab.before ORDER BY 1")
    assert (
        lab.sql(
            "SELECT k.table_name FROM tenure.deleted_keys k"
            " JOIN tenure.batches b ON b.id = k.batch_id"
            " WHERE b.counts->k.table_name->>'sha256' <> encode(sha256(k.hashes), 'hex')"
            " OR (b.counts->k.table_name->>'rows')::int <> octet_length(k.hashes) / 16"
        )
        == []
    )


def test_no_tenant_reads_anothers_keys(lab: Any, acme: TenantId, globex: TenantId) -> None:
    case = lab.case(acme)
    lab.run()
    installation = lab.installation
    for connections in (installation.retention, installation.app_connections):
        for tenant, seen in ((acme, 1), (globex, 0), (None, 0)):
            with connections.transaction(tenant, read_only=True) as cursor:
                for wanted in (acme, None):
                    assert len(deletions.find(cursor, wanted, CASES, UUID(case))) == seen


def test_keys_without_a_record_of_their_batch_are_refused(lab: Any, acme: TenantId) -> None:
    with (
        pytest.raises(psycopg2.errors.ForeignKeyViolation),
        lab.installation.retention.transaction(acme) as cursor,
    ):
        cursor.execute(
            "INSERT INTO tenure.deleted_keys VALUES"
            " (%s, gen_random_uuid(), gen_random_uuid(), 'lab.cases', %s)",
            (str(acme), bytes(16)),
        )
