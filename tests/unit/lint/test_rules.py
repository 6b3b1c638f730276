"""The rules: each finds something in its bad example and nothing is found in its good one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from lint import pages
from lint.assembly import assemble
from lint.codes import CODE_OF_KIND, CODES, explain
from lint.declared import Sources
from lint.example import SCHEMA
from lint.gate import Gate
from lint.inputs.python_source import python_source
from lint.inputs.sources import sql_source
from lint.prover.prover import Prover
from lint.report import Report
from lint.rule import GROUPS, Rule
from lint.rules import all_rules
from lint.schema.catalog import Tenancy
from lint.schema.script import load_schema

DOCUMENTS = Path(__file__).parents[3] / "docs" / "lint"
SOURCES = Sources(("tenure.current_tenant()", "current_setting('app.tenant_id')::uuid"))


@cache
def prover() -> Prover:
    catalog = load_schema(SCHEMA).with_tenancy(Tenancy(tenants_table="tenants"))
    return Prover(catalog, SOURCES)


def lint(text: str, language: str = "sql", *, strict: bool = False) -> Report:
    made = python_source if language == "python" else sql_source
    return assemble([Gate(prover(), strict=strict).judge(made(f"a.{language}", text))])


def codes(text: str) -> list[str]:
    return [finding.code for finding in lint(text).findings]


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: str(rule.code))
def test_a_rule_finds_its_bad_example_and_passes_its_good_one(rule: Rule) -> None:
    found = lint(rule.bad, rule.language, strict=rule.strict).findings
    assert rule.code in [finding.code for finding in found]
    left = [finding.code for finding in lint(rule.good, rule.language).findings]
    assert left in ([], ["TS004"] if rule.code == "TS051" else [])  # a body may be unreadable


def test_the_schema_of_the_examples_has_no_fault() -> None:
    assert codes(SCHEMA) == []


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: str(rule.code))
def test_a_rule_has_its_file_and_its_page(rule: Rule) -> None:
    assert rule.group in GROUPS
    page = explain(rule.code)
    assert page is not None
    for part in (rule.code, rule.name, rule.what, rule.why, rule.bad, rule.good, rule.mend):
        assert part in page


def test_the_documents_are_what_the_rules_say() -> None:
    written = {file.name: file.read_text() for file in DOCUMENTS.glob("TS*.md")}
    written["rules.md"] = (DOCUMENTS / "rules.md").read_text()
    assert written == pages.documents(), "run: python -m lint.pages docs/lint"


def test_every_kind_that_is_reported_has_one_code() -> None:
    assert set(CODE_OF_KIND.values()) <= set(CODES)
    assert {"open", "by-key", "two-tenants", "opaque", "unsupported", "unparsed"} <= set(
        CODE_OF_KIND
    )


TENANT = "(tenant_id = (SELECT tenure.current_tenant()))"
NOTE = "CREATE TABLE note (tenant_id uuid NOT NULL, id uuid NOT NULL, PRIMARY KEY (tenant_id, id));"
SECURE = "ALTER TABLE note ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
POLICY = f"CREATE POLICY own ON note USING {TENANT} WITH CHECK {TENANT};"
SAFE = f"{NOTE}{SECURE}{POLICY}"
OWN = "tenant_id = tenure.current_tenant()"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # statements
        (f"SELECT * FROM invoice WHERE {OWN} AND status = 'open'", []),
        ("SELECT * FROM invoice WHERE tenant_id = 'b1'::uuid", ["TS020"]),
        ("INSERT INTO invoice (tenant_id, id) VALUES ('b1', $1)", ["TS020"]),
        ("SELECT * FROM invoice WHERE tenant_id = $1", []),
        ("SELECT * FROM invoice i, customer c WHERE i.tenant_id = 'b1'", ["TS001"]),
        ("UPDATE invoice SET (status, tenant_id) = ('a', $1) WHERE tenant_id = $1", ["TS021"]),
        (f"WITH u AS (UPDATE invoice i SET tenant_id = $1 WHERE i.{OWN}) SELECT 1", None),
        (f"SELECT * FROM invoice WHERE {OWN} FOR UPDATE", []),
        (
            "INSERT INTO invoice (tenant_id, id, number) VALUES (tenure.current_tenant(), $1, $2) "
            "ON CONFLICT (number) DO NOTHING",
            ["TS022"],
        ),
        (
            "INSERT INTO invoice (tenant_id, id) VALUES (tenure.current_tenant(), $1) "
            "ON CONFLICT (tenant_id, id) DO UPDATE SET tenant_id = excluded.tenant_id",
            ["TS021"],
        ),
        (
            "INSERT INTO invoice (tenant_id, id) VALUES (tenure.current_tenant(), $1) "
            "ON CONFLICT DO NOTHING",
            [],
        ),
        (
            "INSERT INTO invoice (tenant_id, id, number) VALUES (tenure.current_tenant(), $1, $2) "
            "ON CONFLICT (number) DO UPDATE SET status = 'open'",
            ["TS022"],
        ),
        (
            f"INSERT INTO invoice (tenant_id, id) SELECT tenant_id, id FROM customer WHERE {OWN} "
            "FOR UPDATE ON CONFLICT (number) DO NOTHING",
            ["TS022"],
        ),
        (
            "INSERT INTO tenants (id, slug) VALUES (tenure.current_tenant(), $1) "
            "ON CONFLICT (slug) DO NOTHING",
            [],
        ),
        ("TRUNCATE invoice, customer", ["TS023", "TS023"]),
        ("COPY invoice FROM STDIN", ["TS024"]),
        ("COPY invoice (tenant_id, id) TO STDOUT", ["TS024"]),
        ("SET LOCAL ROLE reporting", ["TS025"]),
        ("SET SESSION AUTHORIZATION reporting", ["TS025"]),
        ("SELECT set_config('role', 'reporting', true)", ["TS025"]),
        ("CREATE ROLE reporting", []),
        ("SET row_security TO off", ["TS026"]),
        ("SELECT set_config('app.tenant_id', $1, false)", ["TS027"]),
        ("SELECT set_config('app.tenant_id', $1, true)", []),
        ("SELECT set_config('app.tenant_id', coalesce($1, ''), true)", []),
        (
            "SELECT set_config('app.tenant_id', cast($1 AS text), true), set_config('a', '', true)",
            [],
        ),
        ("SELECT set_config('app.tenant_id', mine($1), true)", ["TS005"]),
        ("SELECT set_config('app.tenant_id', \"coalesce\"($1, ''), true)", ["TS005"]),
        ("SELECT set_config('app.x', (SELECT max(number) FROM invoice), true)", ["TS005"]),
        ("SET SESSION app.tenant_id TO 'x'", ["TS027"]),
        ("SET LOCAL app.tenant_id = 'x'", []),
        ("SET search_path TO public", []),
        ("SET hnsw.ef_search = 40", []),
        ("RESET app.tenant_id", []),
        ("SELECT loid FROM pg_largeobject", None),
        # tables
        (SAFE, []),
        (f"{NOTE}{POLICY}", ["TS040"]),
        (f"{NOTE}ALTER TABLE note ENABLE ROW LEVEL SECURITY;{POLICY}", ["TS041"]),
        (f"{NOTE}{SECURE}", ["TS042"]),
        ("CREATE TEMP TABLE note (tenant_id uuid)", []),
        ("CREATE TABLE note (id uuid, x text UNIQUE)", []),
        (f"{NOTE} DROP TABLE note", []),
        (f"{SAFE} ALTER TABLE note DISABLE ROW LEVEL SECURITY", ["TS040"]),
        ("ALTER TABLE invoice DISABLE ROW LEVEL SECURITY", ["TS040"]),
        (
            f"{NOTE} DO $$ DECLARE t text; BEGIN FOR t IN SELECT relname FROM pg_class LOOP "
            "EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t); END LOOP; END $$",
            ["TS004"],
        ),
        *(
            (f"{NOTE} DO $$ BEGIN {said} END $$", ["TS004", *more])
            for said, more in (
                ("EXECUTE 'ALTER TABLE Note ENABLE ROW LEVEL SECURITY';", []),
                ("FOREACH t IN ARRAY '{note}' LOOP ENABLE ROW LEVEL SECURITY", []),
                ("EXECUTE 'ALTER TABLE other ENABLE ROW LEVEL SECURITY';", ["TS040"]),
                ("RAISE NOTICE 'ENABLE ROW LEVEL SECURITY on notes';", ["TS040"]),
            )
        ),
        (f"{NOTE} SELECT 'mind to ENABLE ROW LEVEL SECURITY'", ["TS040"]),
        (f"{NOTE} SELECT format('note: ENABLE ROW LEVEL SECURITY')", ["TS040"]),
        (f"{NOTE} SELECT run('ALTER TABLE note ENABLE ROW LEVEL SECURITY')", ["TS005"]),
        (
            f"{NOTE} SELECT format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tablename) "
            "FROM pg_tables \\gexec\n",
            None,
        ),
        (f"{NOTE} ALTER TABLE {{{{ t }}}} ENABLE ROW LEVEL SECURITY", ["TS004"]),
        (f'{NOTE} ALTER TABLE :"t" ENABLE ROW LEVEL SECURITY', ["TS040"]),
        (f"{NOTE} ALTER TABLE a ENABLE ROW LEVEL SECURITY {{{{ t }}}}", ["TS004", "TS040"]),
        # policies
        (f"{NOTE}{SECURE}CREATE POLICY p ON note USING (true)", ["TS042"]),
        (f"{NOTE}{SECURE}CREATE POLICY p ON note USING {TENANT}", []),
        (
            f"{NOTE}{SECURE}CREATE POLICY p ON note FOR SELECT USING (id IS NOT NULL);"
            "CREATE POLICY q ON note FOR SELECT USING (true)",
            ["TS042", "TS042"],
        ),
        (
            f"{NOTE}{SECURE}CREATE POLICY p ON note USING ({OWN} AND id::text LIKE 'a%')",
            [],
        ),
        (f"{SAFE}CREATE POLICY own2 ON note TO owner USING (true) WITH CHECK (true)", []),
        (f"{SAFE}CREATE POLICY more ON note FOR SELECT USING (id IS NOT NULL)", ["TS044"]),
        (
            f"{NOTE}{SECURE}CREATE POLICY p ON note FOR SELECT USING {TENANT};"
            "CREATE POLICY q ON note FOR DELETE USING (true)",
            ["TS042"],
        ),
        (f"{SAFE}CREATE POLICY more ON note AS RESTRICTIVE USING (id IS NOT NULL)", []),
        (
            f"{SAFE}CREATE POLICY more ON note USING (true); DROP POLICY more ON note",
            [],
        ),
        (f"{NOTE}{SECURE}CREATE POLICY p ON note USING {TENANT} WITH CHECK (true)", ["TS043"]),
        (
            f"{NOTE}{SECURE}CREATE POLICY p ON note FOR SELECT USING {TENANT};"
            "CREATE POLICY q ON note FOR INSERT WITH CHECK (true)",
            ["TS043"],
        ),
        (
            f"{NOTE}{SECURE}CREATE POLICY p ON note USING (tenant_id::text LIKE "
            "current_setting('app.tenant_id'))",
            ["TS045"],
        ),
        # keys
        (f"{SAFE}CREATE UNIQUE INDEX u ON note (lower(id::text))", ["TS046"]),
        (f"{SAFE}CREATE UNIQUE INDEX u ON note (id); DROP INDEX u", []),
        ("ALTER TABLE invoice ADD COLUMN code text UNIQUE", ["TS046"]),
        ("ALTER TABLE invoice ADD COLUMN seq bigserial UNIQUE", []),
        (
            "CREATE TEMP TABLE x (id int); CREATE TABLE note (tenant_id uuid NOT NULL, id uuid "
            f"PRIMARY KEY, code uuid UNIQUE);{SECURE}{POLICY}CREATE UNIQUE INDEX i ON note (id)",
            ["TS046"],
        ),
        ("ALTER TABLE invoice ADD COLUMN key text UNIQUE DEFAULT random_token(30)", []),
        ("ALTER TABLE invoice ADD COLUMN seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE", []),
        ("ALTER TABLE invoice ADD CONSTRAINT a UNIQUE (number, tenant_id)", []),
        (
            "ALTER TABLE invoice ADD CONSTRAINT a UNIQUE (number);"
            "ALTER TABLE invoice DROP CONSTRAINT a",
            [],
        ),
        # .. dropped by the names that PostgreSQL gives what has none
        *(
            (f"ALTER TABLE invoice ADD {made};{dropped}", [])
            for made, dropped in (
                ("UNIQUE (number)", "ALTER TABLE invoice DROP CONSTRAINT invoice_number_key"),
                ("code text UNIQUE", "ALTER TABLE invoice DROP CONSTRAINT invoice_code_key"),
                (
                    "other uuid CONSTRAINT a UNIQUE REFERENCES customer (id)",
                    "ALTER TABLE invoice DROP CONSTRAINT a;"
                    "ALTER TABLE invoice DROP CONSTRAINT invoice_other_fkey",
                ),
                (
                    "EXCLUDE USING gist (number WITH =)",
                    "ALTER TABLE invoice DROP CONSTRAINT invoice_number_excl",
                ),
            )
        ),
        ("CREATE INDEX ON invoice (status, number); DROP INDEX invoice_status_number_idx", []),
        ("ALTER TABLE invoice ADD COLUMN other uuid REFERENCES customer (id)", ["TS048"]),
        ("ALTER TABLE invoice ADD COLUMN other uuid REFERENCES elsewhere (id)", []),
        ("ALTER TABLE invoice ALTER tenant_id DROP NOT NULL", ["TS049"]),
        (
            "ALTER TABLE invoice ALTER tenant_id DROP NOT NULL;"
            "ALTER TABLE invoice ALTER tenant_id SET NOT NULL",
            [],
        ),
        ("CREATE INDEX i ON invoice (status)", ["TS053"]),
        ("CREATE INDEX i ON invoice USING gin (status)", []),
        ("CREATE INDEX i ON invoice (tenant_id, status)", []),
        # views, functions, partitions
        (
            f"CREATE VIEW v AS SELECT tenant_id FROM invoice WHERE {OWN};"
            "ALTER VIEW v SET (security_invoker = on)",
            [],
        ),
        (f"CREATE MATERIALIZED VIEW v AS SELECT id FROM invoice WHERE {OWN}", ["TS050"]),
        ("CREATE VIEW v AS SELECT 1 AS one", []),
        # .. what asks them is judged where it does
        ("CREATE VIEW v AS SELECT tenant_id, id FROM invoice", ["TS001", "TS050"]),
        ("CREATE VIEW v WITH (security_invoker) AS SELECT tenant_id, id FROM invoice", []),
        *(
            (
                "CREATE VIEW v WITH (security_invoker) AS SELECT tenant_id, id FROM invoice;"
                f"ALTER VIEW v {back}",
                ["TS050"],
            )
            for back in ("SET (security_invoker = false)", "RESET (security_invoker)")
        ),
        (
            "CREATE VIEW v WITH (security_invoker) AS SELECT tenant_id, id FROM invoice;"
            "ALTER VIEW v SET (security_barrier = true)",
            [],
        ),
        (
            "CREATE VIEW v WITH (security_invoker = f) AS SELECT tenant_id, id FROM invoice",
            ["TS001", "TS050"],
        ),
        (
            "CREATE OR REPLACE VIEW v (tenant_id, n) WITH (security_invoker = true) AS "
            "SELECT c.tenant_id, count(*) FROM invoice i JOIN customer c "
            "ON c.tenant_id = i.tenant_id AND c.id = i.customer_id GROUP BY c.tenant_id",
            [],
        ),
        (
            "CREATE VIEW v WITH (security_invoker = off) AS SELECT * FROM invoice",
            ["TS001", "TS050"],
        ),
        ("CREATE VIEW v WITH (security_invoker) AS SELECT id FROM invoice", ["TS001"]),
        # The option, and not a name that reads like it.
        (
            "CREATE VIEW security_invoker AS SELECT tenant_id, id FROM invoice",
            ["TS001", "TS050"],
        ),
        (
            "CREATE VIEW v (tenant_id, security_invoker) AS SELECT tenant_id, id FROM invoice",
            ["TS001", "TS050"],
        ),
        ("CREATE VIEW v WITH (security_invoker) AS SELECT count(*) FROM invoice", ["TS001"]),
        (
            "CREATE VIEW v WITH (security_invoker) AS SELECT i.tenant_id FROM invoice i "
            "JOIN customer c ON c.id = i.customer_id",
            ["TS001", "TS001"],
        ),
        ("CREATE MATERIALIZED VIEW v AS SELECT tenant_id FROM invoice", ["TS001", "TS050"]),
        # .. over views of tenants' tables
        (
            f"CREATE VIEW v WITH (security_invoker) AS SELECT * FROM invoice WHERE {OWN};"
            "CREATE VIEW w AS SELECT 1 FROM (SELECT tenure.current_tenant()) c, v",
            ["TS005", "TS050"],
        ),
        (
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';"
            "ALTER FUNCTION f() SET search_path = pg_catalog",
            None,
        ),
        (
            "CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';"
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';",
            ["TS051"],
        ),
        (
            "CREATE TABLE part PARTITION OF invoice DEFAULT;"
            "ALTER TABLE part ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
            "GRANT SELECT ON part TO app",
            None,
        ),
        ("CREATE TABLE part PARTITION OF invoice DEFAULT; GRANT SELECT ON part TO app", ["TS052"]),
    ],
)
def test_what_is_found(text: str, expected: list[str] | None) -> None:
    found = [code for code in codes(text) if code >= "TS012" or expected is not None]
    if expected is None:
        assert all(code < "TS040" for code in found), found
    else:
        assert sorted(found) == expected


CHILDREN = """
CREATE TABLE tenants (id uuid PRIMARY KEY);
CREATE TABLE bill (tenant_id uuid NOT NULL, id uuid PRIMARY KEY, number text);
CREATE TABLE line (id uuid PRIMARY KEY, bill_id uuid NOT NULL REFERENCES bill (id));
CREATE TABLE kind (id uuid PRIMARY KEY);
CREATE VIEW bills WITH (security_invoker) AS SELECT * FROM bill;
CREATE VIEW more WITH (security_invoker) AS SELECT * FROM bills;
CREATE VIEW kinds AS SELECT * FROM kind;
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ALTER TABLE line DISABLE ROW LEVEL SECURITY", ["TS040"]),
        ("ALTER TABLE kind DISABLE ROW LEVEL SECURITY", []),
        ("CREATE TABLE line (id uuid, bill_id uuid REFERENCES bill (id))", ["TS040"]),
        ("CREATE TABLE word (id uuid, line_id uuid REFERENCES line (id))", ["TS040"]),
        ("CREATE TABLE word (id uuid, line_id uuid REFERENCES line)", ["TS040"]),
        ("CREATE TABLE word (id uuid, kind_id uuid REFERENCES kind (id))", []),
        ("CREATE TABLE word (id uuid, of_id uuid REFERENCES word (id))", []),
        ("CREATE TABLE line (id uuid); ALTER TABLE line ENABLE ROW LEVEL SECURITY", None),
        (
            "CREATE TABLE line (id uuid); ALTER TABLE line ENABLE ROW LEVEL SECURITY, "
            "FORCE ROW LEVEL SECURITY; CREATE POLICY p ON line USING (true)",
            ["TS042"],
        ),
        (
            "CREATE TABLE line (id uuid); ALTER TABLE line ENABLE ROW LEVEL SECURITY, "
            "FORCE ROW LEVEL SECURITY; CREATE POLICY p ON line USING (EXISTS (SELECT 1 FROM bill "
            "b WHERE b.id = bill_id AND b.tenant_id = tenure.current_tenant()))",
            [],
        ),
        ("CREATE VIEW v AS SELECT id FROM bills WHERE tenant_id = $1", ["TS050"]),
        ("CREATE VIEW v AS SELECT id FROM more WHERE tenant_id = $1", ["TS050"]),
        ("CREATE VIEW v AS SELECT id FROM kinds", []),
        (
            "CREATE VIEW a WITH (security_invoker) AS SELECT * FROM bill;"
            "CREATE VIEW b AS SELECT * FROM a",
            ["TS050"],
        ),
        ("CREATE VIEW v AS SELECT * FROM line", ["TS050"]),
    ],
)
def test_tables_scoped_through_their_parent_and_views_of_views(
    text: str, expected: list[str] | None
) -> None:
    known = load_schema(CHILDREN).with_tenancy(Tenancy(tenants_table="tenants"))
    assert {t.name.name: t.parent is not None for t in known.tables}["line"]
    gate = Gate(Prover(known, SOURCES))
    found = [f.code for f in gate.judge(sql_source("a.sql", text)).findings if f.code >= "TS040"]
    assert found == (["TS041", "TS042"] if expected is None else expected)


def test_a_dump_may_switch_row_security_off() -> None:
    assert codes("--\n-- PostgreSQL database dump\n--\nSET row_security = off;") == []
    rails = "SELECT pg_catalog.set_config('search_path', '', false);\nSET row_security = off;"
    assert "TS026" not in codes(rails)


def test_a_finding_of_the_schema_stands_at_its_statement_and_can_be_allowed() -> None:
    text = (
        "SELECT 1;\n-- tenure: allow TS053 because it serves a report\n"
        "  CREATE INDEX i ON invoice (status);\n"
    )
    assert codes(text) == []
    (finding,) = lint(text.replace("-- tenure", "-- ")).findings
    assert (finding.code, finding.line, finding.column) == ("TS053", 3, 29)


def test_a_table_without_a_known_tenant_is_pointed_at() -> None:
    gate = Gate(Prover(load_schema("CREATE TABLE loose (id int)").with_tenancy(Tenancy()), SOURCES))
    (finding,) = gate.judge(sql_source("a.sql", "SELECT 1;\nSELECT *\n  FROM loose")).findings
    assert (finding.code, finding.line, finding.column) == ("TS005", 3, 8)


def test_an_exempted_table_is_no_tenants_table() -> None:
    catalog = load_schema("CREATE TABLE logs (tenant_id uuid, id int)")
    exempt = catalog.with_tenancy(Tenancy(exempt={"logs": "everybody's"}))
    for known, expected in ((catalog.with_tenancy(Tenancy()), ["TS046"]), (exempt, [])):
        source = sql_source("a.sql", "ALTER TABLE logs ADD CONSTRAINT a UNIQUE (id)")
        found = Gate(Prover(known, SOURCES)).judge(source).findings
        assert [finding.code for finding in found] == expected


DOWN = "DROP TABLE note;"


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ("-- migrate:up", "-- migrate:down"),
        ("-- +goose Up", "-- +goose Down"),
        ("-- +migrate Up", "-- +migrate Down"),
        ("", "---- create above / drop below ----"),
    ],
)
def test_the_way_back_of_a_migration_takes_nothing_from_the_way_there(up: str, down: str) -> None:
    assert codes(f"{up}\n{NOTE}\n{down}\n{DOWN}\n") == ["TS040"]
    off = "ALTER TABLE note DISABLE ROW LEVEL SECURITY;"
    assert codes(f"{up}\n{SAFE}\n{down}\n{off}\n") == []
    # A comment alone switches nothing off.
    assert codes(f"-- migrate:down\n{NOTE}\n") == ["TS040"]
    # What it runs is judged all the same.
    assert codes(f"{up}\n{SAFE}\n{down}\nDELETE FROM invoice;\n") == ["TS001"]


def python(*functions: tuple[str, str]) -> str:
    return "from alembic import op\n" + "".join(
        f"def {name}():\n    op.execute('''{sql}''')\n" for name, sql in functions
    )


@pytest.mark.parametrize(
    ("functions", "expected"),
    [
        ([("upgrade", NOTE), ("downgrade", DOWN)], ["TS040"]),
        ([("upgrade", SAFE), ("downgrade", DOWN)], []),
        (
            [
                ("upgrade", "ALTER TABLE invoice ENABLE ROW LEVEL SECURITY"),
                ("downgrade", "ALTER TABLE invoice DISABLE ROW LEVEL SECURITY"),
            ],
            [],
        ),
        ([("migrate", NOTE), ("rollback", DOWN)], ["TS040"]),
        ([("upgrade_main", NOTE), ("downgrade_main", DOWN)], ["TS040"]),
        # When other functions run is not known: what they mend counts, what they drop does not.
        ([("upgrade", NOTE), ("secure", f"{SECURE}{POLICY}")], []),
        ([("upgrade", NOTE), ("cleanup", DOWN)], ["TS040"]),
        ([("reverse_charges", NOTE)], ["TS040"]),
        ([("upgrade", f"{NOTE}{DOWN}")], []),
        ([("upgrade", SAFE), ("off", "ALTER TABLE note DISABLE ROW LEVEL SECURITY")], ["TS040"]),
    ],
)
def test_functions_of_a_migration_are_parts_of_their_own(
    functions: list[tuple[str, str]], expected: list[str]
) -> None:
    found = [finding.code for finding in lint(python(*functions), "python").findings]
    assert found == expected


@pytest.mark.parametrize(
    "name", ["0001_note.down.sql", "down.sql", "U2__note.sql", "revert/note.sql"]
)
def test_a_file_that_is_the_way_back_leaves_nothing_behind(name: str) -> None:
    text = "ALTER TABLE invoice DISABLE ROW LEVEL SECURITY; DELETE FROM invoice;"
    report = assemble([Gate(prover()).judge(sql_source(name, text))])
    assert [finding.code for finding in report.findings] == ["TS001"]
    other = assemble([Gate(prover()).judge(sql_source("0001_note.up.sql", text))])
    assert [finding.code for finding in other.findings] == ["TS040", "TS001"]
