"""Catalogs from JSON and from schema scripts."""

from __future__ import annotations

import json

import pytest
from lint_support import catalog

from lint.errors import CatalogError
from lint.schema.catalog import Catalog, ForeignKey, Key, Name, Table, Tenancy, View
from lint.schema.script import load_schema

DUMP = """
SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE SCHEMA shop;
CREATE FUNCTION shop.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN CREATE TABLE x(); END $$;
CREATE TABLE shop.customer (
    tenant_id uuid DEFAULT tenure.current_tenant() NOT NULL,
    id uuid NOT NULL,
    name character varying(20) COLLATE "C",
    price numeric(10,2) DEFAULT 0.0 NOT NULL,
    CONSTRAINT price_is_positive CHECK ((price > (0)::numeric))
);
CREATE TABLE shop."Order" (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    customer_id uuid,
    note text
);
CREATE VIEW shop.named WITH (security_invoker='true') AS
 SELECT customer.tenant_id, customer.name FROM shop.customer WHERE (customer.name <> ';'::text);
COPY shop.customer (tenant_id, id) FROM stdin;
a	b
\\.
ALTER TABLE ONLY shop.customer ADD CONSTRAINT customer_pkey PRIMARY KEY (tenant_id, id);
ALTER TABLE ONLY shop."Order" ADD CONSTRAINT order_pkey PRIMARY KEY (tenant_id, id);
CREATE UNIQUE INDEX by_name ON shop.customer USING btree (tenant_id, name);
CREATE UNIQUE INDEX lowered ON shop.customer USING btree (lower(name));
CREATE UNIQUE INDEX partial ON shop.customer USING btree (name) WHERE (price > 0);
ALTER TABLE ONLY shop."Order" ADD CONSTRAINT fk FOREIGN KEY (tenant_id, customer_id)
    REFERENCES shop.customer(tenant_id, id);
ALTER TABLE shop.customer ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON shop.customer USING ((tenant_id = (SELECT tenure.current_tenant())));
GRANT SELECT ON TABLE shop.customer TO app;
"""


def table(text: str, name: str) -> Table:
    return load_schema(text).named(name)


def test_a_dump_that_first_drops_what_was_there_is_read() -> None:
    """As `pg_dump --clean --if-exists` writes it, and Rails its structure.sql."""
    clean = (
        "ALTER TABLE IF EXISTS ONLY shop.customer DROP CONSTRAINT IF EXISTS customer_pkey;\n"
        "DROP INDEX IF EXISTS shop.by_name;\nDROP VIEW IF EXISTS shop.named;\n"
        "DROP TABLE IF EXISTS shop.customer;\nDROP SCHEMA IF EXISTS shop;\n"
    )
    assert load_schema(clean + DUMP).to_json() == load_schema(DUMP).to_json()
    with pytest.raises(CatalogError, match="not defined before"):
        load_schema("ALTER TABLE shop.customer ADD COLUMN a int")


def test_a_dump_is_read() -> None:
    loaded = load_schema(DUMP)
    customer, order = loaded.named("shop.customer"), loaded.named("shop.Order")
    assert [(c.name, c.type, c.nullable) for c in customer.columns] == [
        ("tenant_id", "uuid", False),
        ("id", "uuid", False),
        ("name", "character varying(20)", True),
        ("price", "numeric(10,2)", False),
    ]
    assert customer.columns[0].default == "tenure . current_tenant ( )"
    assert customer.keys == (
        Key(("tenant_id", "id"), "customer_pkey"),
        Key(("tenant_id", "name"), "by_name"),
    )
    assert order.foreign_keys == (
        ForeignKey(("tenant_id", "customer_id"), Name("shop", "customer"), ("tenant_id", "id")),
    )
    assert [str(view.name) for view in loaded.views] == ["shop.named"]


def test_json_comes_back_as_it_went() -> None:
    for original in (load_schema(DUMP).with_tenancy(Tenancy()), catalog()):
        again = Catalog.from_json(original.to_json())
        assert again.tables == original.tables
        assert again.views == original.views


def test_columns_may_carry_their_constraints() -> None:
    found = table(
        "CREATE TABLE a (id int PRIMARY KEY);"
        "CREATE TABLE b (id serial UNIQUE, a_id int NOT NULL REFERENCES a ON DELETE CASCADE,"
        " UNIQUE (a_id, id), FOREIGN KEY (id) REFERENCES a (id) NOT VALID);",
        "b",
    )
    assert [key.columns for key in found.keys] == [("id",), ("a_id", "id")]
    assert found.foreign_keys == (ForeignKey(("a_id",), Name("public", "a"), ("id",)),)
    assert [column.nullable for column in found.columns] == [False, False]


def test_a_deferrable_key_proves_nothing() -> None:
    text = "CREATE TABLE a (id int, CONSTRAINT k UNIQUE (id) DEFERRABLE);"
    assert table(text, "a").keys == ()
    assert len(table(text.replace("DEFERRABLE", "NOT DEFERRABLE"), "a").keys) == 1


def test_partitions_have_the_columns_and_inheritance_unmakes_keys() -> None:
    text = (
        "CREATE TABLE a (id int PRIMARY KEY, b text) PARTITION BY RANGE (id);"
        "CREATE TABLE a1 PARTITION OF a FOR VALUES FROM (1) TO (2);"
        "CREATE TABLE k (id int PRIMARY KEY); CREATE TABLE kk (x int) INHERITS (k);"
    )
    assert [c.name for c in table(text, "a1").columns] == ["id", "b"]
    assert [c.name for c in table(text, "kk").columns] == ["id", "x"]
    assert table(text, "k").inherited
    assert not table(text, "a").inherited


def test_later_statements_change_earlier_ones() -> None:
    text = (
        "CREATE TABLE a (id int, b int, c int UNIQUE);"
        "ALTER TABLE a ADD COLUMN d text NOT NULL DEFAULT 'x', DROP COLUMN c, ALTER b SET NOT NULL;"
        "CREATE UNIQUE INDEX i ON a (id); DROP INDEX i; CREATE VIEW v AS SELECT 1; DROP VIEW v;"
    )
    found = table(text, "a")
    assert [(c.name, c.nullable) for c in found.columns] == [
        ("id", True),
        ("b", False),
        ("d", False),
    ]
    assert found.keys == ()
    assert load_schema(text).views == ()


def test_what_is_renamed_has_its_new_name_everywhere() -> None:
    """Migrations one behind the other are a schema as well."""
    renamed = load_schema(
        "CREATE TABLE a (org int NOT NULL, id int NOT NULL, PRIMARY KEY (org, id));"
        "CREATE TABLE b (org int NOT NULL, aid int, FOREIGN KEY (org, aid) REFERENCES a (org, id));"
        "CREATE UNIQUE INDEX one ON b (org, aid);"
        "ALTER TABLE a RENAME TO c; ALTER TABLE c RENAME COLUMN org TO tenant;"
        "ALTER TABLE c RENAME CONSTRAINT a_pkey TO c_pkey; ALTER TABLE b RENAME aid TO cid;"
        "ALTER INDEX IF EXISTS one RENAME TO two;"
    )
    assert sorted(str(found.name) for found in renamed.tables) == ["public.b", "public.c"]
    c, b = renamed.named("c"), renamed.named("b")
    assert [column.name for column in c.columns] == ["tenant", "id"]
    assert c.keys == (Key(("tenant", "id"), "c_pkey"),)
    assert b.foreign_keys == (ForeignKey(("org", "cid"), c.name, ("tenant", "id")),)
    assert b.keys == (Key(("org", "cid"), "two"),)


def test_search_path_names_the_schema_of_what_follows() -> None:
    loaded = load_schema("SET search_path = shop, public; CREATE TABLE a (id int);")
    assert str(loaded.tables[0].name) == "shop.a"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("CREATE TABLE a AS SELECT 1;", "columns of public.a"),
        ("ALTER TABLE a RENAME TO b;", "public.a is not defined before"),
        ("ALTER TABLE z RENAME TO z;", "defined twice"),
        ("CREATE VIEW v AS SELECT id FROM z; ALTER TABLE z RENAME TO y;", "a view may read"),
        ("CREATE VIEW v AS SELECT id FROM z; ALTER TABLE z RENAME id TO y;", "a view may read"),
        ("CREATE VIEW v AS SELECT id FROM z; ALTER VIEW v RENAME TO w;", "renaming a view"),
        ("FROB x;", "FROB x"),
        ("CREATE RULE r AS ON SELECT TO a DO INSTEAD SELECT 1;", "rules"),
        ("CREATE THING x;", "creates"),
        ("DO $$ BEGIN CREATE TABLE hidden (id int); END $$;", "DO block"),
        ("ALTER TABLE missing ADD COLUMN a int;", "missing"),
        ("CREATE TABLE a (id int); CREATE TABLE a (id int);", "defined twice"),
    ],
)
def test_what_may_define_a_relation_and_is_not_understood_is_an_error(
    text: str, named: str
) -> None:
    with pytest.raises(CatalogError) as caught:
        load_schema("CREATE TABLE IF NOT EXISTS z (id int);" + text, origin="schema.sql")
    assert "schema.sql" in str(caught.value)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    "document",
    [
        "[]",
        "{",
        '{"version": 2}',
        '{"version": 1, "tables": [{"name": "a"}]}',
        json.dumps({"version": 1, "tables": [{"name": "a", "columns": [], "exempt": " "}]}),
        json.dumps({"version": 1, "tables": [{"name": "a", "columns": [], "tenant_column": "x"}]}),
    ],
)
def test_a_wrong_catalog_file_is_named(document: str) -> None:
    with pytest.raises(CatalogError):
        Catalog.from_json(document, origin="catalog.json")


def test_of_several_parents_the_one_that_every_row_has_is_taken() -> None:
    text = """
        CREATE TABLE g (tenant_id int NOT NULL, id int PRIMARY KEY);
        CREATE TABLE version (id int PRIMARY KEY, g_id int NOT NULL REFERENCES g,
            failed_id int REFERENCES g, last_id int REFERENCES g);
        CREATE TABLE both (a int NOT NULL REFERENCES g, b int NOT NULL REFERENCES g);
        CREATE TABLE late (first_id int REFERENCES g, version_id int NOT NULL REFERENCES version);
    """
    completed = load_schema(text).with_tenancy(Tenancy())
    found = {table.name.name: table.parent for table in completed.tables}
    assert found["version"] is not None
    assert found["version"].columns == ("g_id",)
    assert found["late"] is not None
    assert found["late"].columns == ("version_id",)
    assert found["both"] is None


def test_a_tenant_column_that_is_named_and_nowhere_is_a_mistake() -> None:
    schema = load_schema("CREATE TABLE a (org int)")
    with pytest.raises(CatalogError, match="no table has a column ogr"):
        schema.with_tenancy(Tenancy(tenant_columns=("org", "ogr"), named=True))
    schema.with_tenancy(Tenancy(tenant_columns=("org", "ogr")))


def test_the_parent_is_found_by_the_one_foreign_key() -> None:
    text = (
        "CREATE TABLE g (id int PRIMARY KEY, tenant_id int NOT NULL);"
        "CREATE TABLE child (id int PRIMARY KEY, g_id int REFERENCES g);"
        "CREATE TABLE grandchild (id int PRIMARY KEY, child_id int REFERENCES child);"
        "CREATE TABLE bridge (a int REFERENCES g, b int REFERENCES g);"
    )
    completed = load_schema(text).with_tenancy(Tenancy())
    assert completed.named("child").parent is not None
    assert completed.named("grandchild").parent is not None
    assert completed.named("bridge").parent is None
    declared = load_schema(text).with_tenancy(Tenancy(parents={"bridge": "a -> g.id"}))
    assert declared.named("bridge").parent == ForeignKey(("a",), Name("public", "g"), ("id",))


@pytest.mark.parametrize(
    "tenancy",
    [
        Tenancy(tenants_table="nowhere"),
        Tenancy(exempt={"nowhere": "because"}),
        Tenancy(parents={"child": "g.id"}),
        Tenancy(parents={"child": "g_id -> g.tenant_id"}),
        Tenancy(columns_by_table={"g": "nothing"}),
    ],
)
def test_a_tenancy_that_names_nothing_is_an_error(tenancy: Tenancy) -> None:
    text = (
        "CREATE TABLE g (id int PRIMARY KEY, tenant_id int NOT NULL);"
        "CREATE TABLE child (id int PRIMARY KEY, g_id int REFERENCES g);"
    )
    with pytest.raises(CatalogError):
        load_schema(text).with_tenancy(tenancy)


def test_a_name_in_two_schemas_needs_a_search_path() -> None:
    tables = [Table(Name(schema, "a"), ()) for schema in ("x", "y")]
    with pytest.raises(CatalogError):
        Catalog(tables).find(None, "a")
    found = Catalog(tables, search_path=("y",)).find(None, "a")
    assert found is tables[1]
    with pytest.raises(CatalogError):
        Catalog(tables, [View(Name("x", "a"), "SELECT 1")])


def test_what_gexec_runs_is_passed_over_unless_it_may_define_a_relation() -> None:
    made = "SELECT 'CREATE DATABASE shop' WHERE true \\gexec\nCREATE TABLE a (x int);"
    assert [table.name.name for table in load_schema(made).tables] == ["a"]
    with pytest.raises(CatalogError, match="gexec"):
        load_schema("SELECT format('CREATE TABLE %I ()', n) FROM x \\gexec")


SPECIAL = """
CREATE TABLE a (id int PRIMARY KEY, x int, org int GENERATED ALWAYS AS (x + "id") STORED NOT NULL,
    n int GENERATED ALWAYS AS IDENTITY);
CREATE TABLE b (a_id int, CONSTRAINT fk FOREIGN KEY (a_id) REFERENCES a (id) NOT VALID);
CREATE TABLE c (a_id int REFERENCES a (id), b_id int UNIQUE);
CREATE TABLE d (a_id int REFERENCES a (id) DEFERRABLE, a_org int,
    FOREIGN KEY (a_org, a_id) REFERENCES a (org, id) DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE c DROP CONSTRAINT c_a_id_fkey;
CREATE MATERIALIZED VIEW m AS SELECT id FROM a;
CREATE VIEW v AS SELECT id FROM a;
"""


def test_what_is_generated_materialized_and_not_checked_is_told_and_kept() -> None:
    for found in (load_schema(SPECIAL), Catalog.from_json(load_schema(SPECIAL).to_json())):
        a, b, c = (found.named(name) for name in "abc")
        generated = {column.name: column.generated for column in a.columns}
        assert generated == {"id": None, "x": None, "org": 'x + "id"', "n": None}
        org = a.column("org")
        assert org is not None
        assert not org.nullable
        assert [(t.foreign_keys, t.unchecked) for t in (b, c)] == [((), (a.name,))] * 2
        assert {view.name.name: view.materialized for view in found.views} == {
            "m": True,
            "v": False,
        }
        d = found.named("d")
        assert [key.columns for key in d.foreign_keys] == [("a_id",)]
        assert d.unchecked == (a.name,)
        assert found.pointing_at([a.name]) == [b, c, d]


def test_a_column_is_no_more_generated_or_made_of_others() -> None:
    script = "CREATE TABLE a (x int, y int, org int GENERATED ALWAYS AS (x) STORED);\n"
    other = table(script + "ALTER TABLE a ALTER COLUMN org SET EXPRESSION AS (y + 1);", "a")
    plain = table(script + "ALTER TABLE a ALTER COLUMN org DROP EXPRESSION;", "a")
    assert [t.column("org").generated for t in (other, plain)] == ["y + 1", None]  # type: ignore[union-attr]  # it is there
    with pytest.raises(CatalogError, match="generated column may read"):
        load_schema(script + "ALTER TABLE a RENAME COLUMN x TO z;")
