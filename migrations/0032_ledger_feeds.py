"""What the books go by enters the ledger, too, and what others were asked for does.

A verification commits to the batches that its account counts and to the keys that moved in it, as
it does to its results: so a batch cannot be hidden from the books by a row that says it was counted
(such a row is of a batch that there is, and is made with the verification alone).

`tenure.removals` feeds nothing: what users delete would be dearer by 8 to 9 % each time. That a row
went so is among the movements of the next account.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tenants.schema import execute, ledger_statement

_LEDGER = import_module("migrations.0013_ledger")
_RESULTS = ("verification_results", {"verification_id": "id"}, _LEDGER.RESULT_COLUMNS)

# As before; of columns that are `digested` a line has the SHA-256 of their bytes.
CHILDREN = """
CREATE OR REPLACE FUNCTION tenure.ledger_children(spec jsonb, parent jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    found jsonb := '{}';
    label text; child jsonb; of_parent text; columns text; rows bigint; digest text;
BEGIN
    FOR label, child IN SELECT * FROM jsonb_each(spec) LOOP
        SELECT string_agg(format('c.%I = %L', own, parent ->> theirs), ' AND ')
        INTO of_parent FROM jsonb_each_text(child -> 'by') AS b(own, theirs);
        SELECT string_agg(format(CASE WHEN child -> 'digested' ? name
                                      THEN 'encode(sha256(c.%I), ''hex'')' ELSE 'c.%I' END, name),
                          ', ' ORDER BY n)
        INTO columns
        FROM jsonb_array_elements_text(child -> 'columns') WITH ORDINALITY AS a(name, n);
        EXECUTE format(
            'SELECT count(*), encode(sha256(convert_to(coalesce(string_agg('
            '  t, E''\\n'' ORDER BY t COLLATE "C"), ''''), ''UTF8'')), ''hex'')'
            ' FROM (SELECT jsonb_build_array(%s)::text AS t FROM tenure.%I c WHERE %s) AS r',
            columns, child ->> 'table', of_parent) INTO rows, digest;
        found := found || jsonb_build_object(label || '_count', rows, label || '_sha256', digest);
    END LOOP;
    RETURN found;
END $$;
"""
_WERE = _LEDGER.ENTER.partition("CREATE FUNCTION tenure.ledger_children")[2].partition("$$;")[0]
CHILDREN_BEFORE = f"CREATE OR REPLACE FUNCTION tenure.ledger_children{_WERE}$$;"

# A batch is counted in the transaction that keeps the verification whose account counts it.
COUNTED = """
CREATE INDEX accounted_batches_account ON tenure.accounted_batches (account);
ALTER TABLE tenure.accounted_batches ADD CONSTRAINT accounted_batches_batch
    FOREIGN KEY (tenant_id, run_id, batch_id) REFERENCES tenure.batches (tenant_id, run_id, id);
CREATE FUNCTION tenure.counted_with_account() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM added a WHERE NOT EXISTS (
        SELECT FROM tenure.verifications v
        WHERE v.account = a.account AND v.xmin = pg_current_xact_id()::xid)) THEN
        RAISE EXCEPTION 'a batch is counted when its account is made'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION tenure.counted_with_account() FROM PUBLIC;
CREATE TRIGGER counted_with_account AFTER INSERT ON tenure.accounted_batches
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION tenure.counted_with_account();
"""
COUNTED_BEFORE = """
DROP TRIGGER counted_with_account ON tenure.accounted_batches;
DROP FUNCTION tenure.counted_with_account();
ALTER TABLE tenure.accounted_batches DROP CONSTRAINT accounted_batches_batch;
DROP INDEX tenure.accounted_batches_account;
"""


def _verifications(*, books: bool) -> str:
    children: dict[str, Any] = {"results": _RESULTS}
    if books:
        children["accounted"] = (
            "accounted_batches",
            {"account": "account"},
            ("tenant_id", "run_id", "batch_id"),
        )
        children["movements"] = (
            "movements",
            {"account": "account"},
            ("tenant_id", "policy", "table_name", "movement", "part", "hashes"),
            ("hashes",),
        )
    return ledger_statement(
        "verifications",
        "verification",
        plain=("id", "trace_id", "as_of", "started_at", "finished_at", "findings", "account"),
        committed=("started_by",),
        children=children,
    )


# By its clock and its state a page says what is overdue. What is told to a connector, and by whom
# it was asked, is in the steps or nowhere.
REQUESTS = ledger_statement(
    "connector_requests",
    "connector-request",
    plain=(
        "tenant_id",
        "id",
        "connector",
        "cause",
        "cause_id",
        "state",
        "requested_at",
        "due_at",
        "told_at",
        "delivered_at",
        "ended_at",
    ),
    on="INSERT OR UPDATE",
)


def up(migrator: Any, db: Any) -> None:
    """Feed the ledger with both; runs as tenure_owner, in one transaction."""
    execute(db, CHILDREN, COUNTED, _verifications(books=True), REQUESTS)


def down(migrator: Any, db: Any) -> None:
    """Feed it as before; what has entered stays in it."""
    execute(
        db,
        *(
            f"DROP TRIGGER ledger_{event} ON tenure.connector_requests"
            for event in ("insert", "update")
        ),
        _verifications(books=False),
        COUNTED_BEFORE,
        CHILDREN_BEFORE,
    )
