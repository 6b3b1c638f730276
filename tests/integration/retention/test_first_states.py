"""What has states begins with the first of them, whoever may insert it."""

from __future__ import annotations

from uuid import UUID

import psycopg2
import pytest

from tenants.context import TenantId
from tenants.models import new_id

from .conftest import Lab

_HEX = "repeat('a', 32)"
_DIGEST = "repeat('0', 64)"
_HASH = r"'\x00000000000000000000000000000000'"

#: Per table: the columns and values of a row as it begins, for {tenant} and {id}.
BEGUN = {
    "erasures": {
        "subject": "'case'", "subject_hash": _HASH, "entered_by": "'test'",
        "received_at": "now()", "due_at": "now() + interval '30 days'",
    },
    "exports": {"kind": "'tenant'", "requested_by": "'test'"},
    "purges": {
        "kind": "'replay'", "cause": "'{}'", "trace_id": _HEX, "begun_by": "'test'",
    },
    "offboardings": {
        "requested_by": "'test'", "reason": "'they asked'", "grace": "'P30D'",
        "deletes_at": "now() + interval '30 days'",
    },
    "connector_requests": {
        "connector": "'documents'", "cause": "'offboarding'", "cause_id": "gen_random_uuid()",
        "requested_by": "'test'", "due_at": "now() + interval '7 days'",
    },
    "runs": {
        "trace_id": _HEX, "as_of": "now()", "plan": "'{}'", "state": "'running'",
        "started_by": "'test'", "started_at": "now()",
    },
}  # fmt: skip
#: And what makes it one that is further.
LATER = [
    ("erasures", {"state": "'approved'", "plan": "1", "definition": "'{}'"}),
    ("erasures", {"state": "'completed'", "plan": "1", "definition": "'{}'", "ended_at": "now()"}),
    ("erasures", {"plan": "1", "definition": "'{}'"}),
    ("erasures", {"extended_months": "2"}),
    (
        "exports",
        {
            "state": "'finished'", "as_of": "now()", "counts": "'{}'", "bytes": "1",
            "manifest_sha256": _DIGEST, "ended_at": "now()",
        },
    ),
    ("exports", {"state": "'failed'", "problem": "'x'", "ended_at": "now()"}),
    ("exports", {"manifest_sha256": _DIGEST}),
    (
        "purges",
        {"state": "'completed'", "counts": "'{}'", "kept": "'{}'", "ended_at": "now()"},
    ),
    ("offboardings", {"state": "'deferred'", "waits": "'x'"}),
    (
        "offboardings",
        {
            "state": "'taken back'", "taken_back_by": "'x'", "taken_back_reason": "'x'",
            "ended_at": "now()",
        },
    ),
    # Past its grace, and past the end of everybody's access.
    (
        "offboardings",
        {
            "state": "'running'", "deletes_at": "clock_timestamp() + interval '1 day'",
            "started_at": "now()", "purge_id": "{purge}", "export_id": "{export}",
            "access": "'{}'",
        },
    ),
    ("connector_requests", {"state": "'acknowledged'", "ended_at": "now()"}),
    ("connector_requests", {"state": "'delivered'", "told_at": "now()", "delivered_at": "now()"}),
    ("connector_requests", {"counted": "'{}'"}),
    ("connector_requests", {"told_at": "now()"}),
    ("runs", {"state": "'succeeded'", "finished_at": "now()"}),
]  # fmt: skip


def _insert(table: str, tenant: TenantId, row: UUID, more: dict[str, str]) -> str:
    own = {} if table == "runs" else {"tenant_id": f"'{tenant}'"}
    values = {**own, "id": f"'{row}'", **BEGUN[table], **more}
    return f"INSERT INTO tenure.{table} ({', '.join(values)}) VALUES ({', '.join(values.values())})"


@pytest.mark.parametrize("table", BEGUN)
def test_a_row_that_begins_is_inserted(lab: Lab, acme: TenantId, table: str) -> None:
    with lab.installation.retention.transaction(acme) as cursor:
        cursor.execute(_insert(table, acme, new_id(), {}))
    assert len(lab.sql(f"SELECT 1 FROM tenure.{table}")) == 1


@pytest.mark.parametrize(("table", "more"), LATER, ids=str)
def test_one_that_is_further_is_not(
    lab: Lab, acme: TenantId, table: str, more: dict[str, str]
) -> None:
    purge, export = new_id(), new_id()
    with lab.installation.retention.transaction(acme) as cursor:
        cursor.execute(_insert("purges", acme, purge, {}))
        cursor.execute(_insert("exports", acme, export, {}))
    known = {k: v.format(purge=f"'{purge}'", export=f"'{export}'") if v[0] == "{" else v
             for k, v in more.items()}  # fmt: skip
    statement = _insert(table, acme, new_id(), known)
    before = lab.sql(f"SELECT count(*) FROM tenure.{table}")
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege, match=f"tenure.{table} begins as"),
        lab.installation.retention.transaction(acme) as cursor,
    ):
        cursor.execute(statement)
    assert lab.sql(f"SELECT count(*) FROM tenure.{table}") == before
    # The owner puts a copy of the data back, as it was.
    lab.sql(statement)
